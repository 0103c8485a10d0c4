# ruff: noqa: E501 - messages are quoted in full
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spa.errors import PluginError
from spa.plugins.catalogue import Registered, build_catalogue
from spa.plugins.component import Component

Install = Callable[..., Path]


def registered(impl: str = "m:C", config: str = "m:D", hint: str | None = None) -> Registered:
    component = Component(name="odd", impl=impl, config=config, summary="s", install_hint=hint)
    return Registered(component, "judge", "odd", "stranger", "1.0")


def fails(load: Callable[[], object]) -> str:
    with pytest.raises(PluginError) as caught:
        load()
    return str(caught.value)


def test_every_builtin_component_can_be_resolved_and_loaded() -> None:
    for each in build_catalogue("none").components():
        assert each.load_config_class().model_config["frozen"]
        assert isinstance(each.load_class(), type)


def test_a_module_that_is_not_there() -> None:
    assert fails(registered(impl="no_such.module:Judge").load_class) == (
        "judge 'odd' (stranger 1.0): there is no module 'no_such.module'."
    )


@pytest.mark.parametrize(
    ("hint", "advice"), [(None, "pip install no_such_package"), ("pip install x[gpu]", "pip install x[gpu]")]
)  # fmt: skip
def test_a_package_that_is_missing(install: Install, hint: str | None, advice: str) -> None:
    install("stranger", points={}, needy="import no_such_package.deep\n")
    assert fails(registered(impl="needy:Judge", hint=hint).load_class) == (
        "judge 'odd' (stranger 1.0): it needs the package 'no_such_package', "
        f"which is not installed. Try: {advice}."
    )


def test_a_module_that_raises(install: Install) -> None:
    site = install("stranger", points={}, raising="\nraise OSError('no disk')\n")
    assert fails(registered(impl="raising:Judge").load_class) == (
        "judge 'odd' (stranger 1.0): raising cannot be imported: OSError: no disk "
        f"(at {site / 'raising.py'}:2)."
    )


def test_an_attribute_that_is_not_there(install: Install) -> None:
    install("stranger", points={}, empty="value = 3\nclass Bare: pass\n")
    assert fails(registered(impl="empty:Judge").load_class) == (
        "judge 'odd' (stranger 1.0): its class empty:Judge does not exist: empty has no 'Judge'."
    )
    assert fails(registered(impl="empty:value").load_class) == (
        "judge 'odd' (stranger 1.0): empty:value is not a class."
    )
    assert fails(registered(impl="empty:Bare").load_class) == (
        "judge 'odd' (stranger 1.0): empty:Bare has no method score, which a judge needs "
        "(contract spa.api.Judge)."
    )


def test_members_are_called_members(install: Install) -> None:
    source = """
        from typing import Annotated, Any
        from spa.api import ComponentConfig, Members
        class Panel(ComponentConfig):
            panel: Annotated[tuple[dict[str, Any], ...], Members()] = ()
    """
    install("stranger", points={}, config_of_panel=source)
    assert fails(registered(config="config_of_panel:Panel").load_config_class) == (
        "judge 'odd' (stranger 1.0): the field of config_of_panel:Panel that holds its members "
        "must be called members."
    )


def test_a_judge_scores_or_combines(install: Install) -> None:
    source = """
        class Half:
            def combine(self): ...
        class Whole(Half):
            def combined_scale(self): ...
    """
    install("stranger", points={}, combining=source)
    assert fails(registered(impl="combining:Half").load_class).startswith(
        "judge 'odd' (stranger 1.0): combining:Half has no method score, which a judge needs"
    )
    assert registered(impl="combining:Whole").load_class().__name__ == "Whole"


def test_configs_must_be_frozen_models_that_forbid_unknown_keys(install: Install) -> None:
    source = """
        from pydantic import BaseModel, ConfigDict
        class Plain: pass
        class Loose(BaseModel): pass
        class Thawed(BaseModel):
            model_config = ConfigDict(extra="forbid")
    """
    install("stranger", points={}, configs_of_stranger=source)
    advice = "Derive it from spa.api.ComponentConfig."
    for name, problem in (
        ("Plain", "is not a pydantic model"),
        ("Loose", "must forbid unknown keys"),
        ("Thawed", "must be frozen"),
    ):
        path = f"configs_of_stranger:{name}"
        assert fails(registered(config=path).load_config_class) == (
            f"judge 'odd' (stranger 1.0): its config {path} {problem}. {advice}"
        )
