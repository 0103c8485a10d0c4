# ruff: noqa: E501 - messages are quoted in full
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spa import __version__
from spa.plugins.catalogue import build_catalogue
from spa.plugins.provenance import (
    component_record,
    plugin_records,
    unmet_requirement,
)

Install = Callable[..., Path]


def test_records_hold_what_was_installed_and_what_was_used(
    install: Install, install_judge: Install
) -> None:
    install_judge("stranger", "odd")
    install("broken", "3.1", points={"bad": "bad_one"}, bad_one="raise OSError('no')")
    catalogue = build_catalogue()
    judge = catalogue.resolve("judge", "odd")
    records = {each["distribution"]: each for each in plugin_records(catalogue, [judge, judge])}
    assert records["stranger"] == {
        "name": "odd",
        "distribution": "stranger",
        "version": "1.0",
        "status": "ok",
        "problems": [],
        "observes": False,
        "used": ["judge:stranger/odd"],
    }
    assert records["broken"]["status"] == "failed"
    assert records["broken"]["used"] == []
    assert records["spa-align"]["version"] == __version__
    json.dumps(list(records.values()))
    assert component_record(judge) == {
        "kind": "judge",
        "component": "stranger/odd",
        "distribution": "stranger",
        "version": "1.0",
        "api": 1,
        "revision": 1,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stranger", None),
        ("Stranger>=1.0,<2", None),
        ("spa-align>=0.1", None),
        ("none-such; python_version < '3'", None),
        ("stranger>=2", "stranger 1.0 is installed, the recipe needs >=2. Try: pip install --upgrade 'stranger>=2'"),
        ("spa-lm-eval>=0.1", "spa-lm-eval is not installed. From a clone of spa: pip install ./plugins/spa-lm-eval"),
        ("none-such>=1", "none-such is not installed. Try: pip install 'none-such>=1'"),
        ("none-such ; extra == 'a' or os_name != \"$(x)\"", "none-such is not installed. Try: pip install 'none-such ; extra == '\"'\"'a'\"'\"' or os_name != \"$(x)\"'"),
        ("what ever", "'what ever' is not a requirement. Write a distribution and versions: spa-rubric>=0.2"),
        ("x @ https://a.b/x.whl", "'x @ https://a.b/x.whl' names an address. Write a distribution and versions: spa-rubric>=0.2"),
        ("broken", "broken is installed but failed: failed to load: OSError: no. See: spa plugins doctor"),
    ],
)  # fmt: skip
def test_requirements(
    install: Install, install_judge: Install, text: str, expected: str | None
) -> None:
    install_judge("stranger", "odd")
    install("broken", points={"bad": "bad_two"}, bad_two="raise OSError('no')")
    assert unmet_requirement(text, build_catalogue()) == expected


def test_a_disabled_requirement_is_unmet(install_judge: Install) -> None:
    install_judge("stranger", "odd")
    catalogue = build_catalogue("no:odd")
    assert unmet_requirement("spa-align", catalogue) is None
    assert unmet_requirement("stranger", catalogue) == (
        "stranger is installed but disabled by option -P or SPA_PLUGINS"
    )
