# ruff: noqa: E501 - messages are quoted in full
from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from spa.plugins.catalogue import Catalogue, build_catalogue
from spa.plugins.disabling import Disabled, disable, parse_disabled
from spa.plugins.discovery import Plugin
from spa.plugins.scanning import scan

Install = Callable[..., Path]


def plugin_of(catalogue: Catalogue, distribution: str) -> Plugin:
    (found,) = [plugin for plugin in catalogue.plugins if plugin.distribution == distribution]
    return found


def load(install: Install, source: str) -> Plugin:
    install("stranger", points={"odd": "stranger_module"}, stranger_module=source)
    return plugin_of(build_catalogue(), "stranger")


def hook(body: str, name: str = "spa_judges", arguments: str = "") -> str:
    return (
        "from spa.api import Component, hookimpl\n@hookimpl\n"
        f"def {name}({arguments}):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
    )


def record(**fields: object) -> str:
    values: dict[str, object] = {
        "name": "odd",
        "impl": "odd_impl:Judge",
        "config": "odd_impl:Config",
        "summary": "A judge",
        **fields,
    }
    return f"Component({', '.join(f'{key}={value!r}' for key, value in values.items())})"


def test_two_distributions_with_one_entry_point_name_are_both_seen(install: Install) -> None:
    install("b-dist", points={"rubric": "b_module"}, b_module="")
    install("A_Dist", points={"rubric": "a_module"}, a_module="")
    found = [(each.distribution, each.name) for each in scan() if each.name == "rubric"]
    assert ("a-dist", "rubric") in found
    assert ("b-dist", "rubric") in found
    assert found == sorted(found)


def test_a_distribution_shadowed_on_the_path_is_seen_once(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("stranger", "2.0", points={"new": "module"})
    older = tmp_path / "older" / "stranger-1.0.dist-info"
    older.mkdir(parents=True)
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: Stranger\nVersion: 1.0\n")
    (older / "entry_points.txt").write_text("[spa.plugins]\nold = module\n")
    import sys

    monkeypatch.setattr(sys, "path", [*sys.path, str(older.parent)])
    assert [each.name for each in scan() if each.distribution == "stranger"] == ["new"]


def test_damaged_entry_points_are_reported_and_others_still_found(install: Install) -> None:
    site = install("broken", points={"x": "module"})
    (site / "broken-1.0.dist-info" / "entry_points.txt").write_text(
        "[spa.plugins]\nno equals sign\n"
    )
    install("whole", points={"fine": "fine_module"}, fine_module=hook("return []"))
    catalogue = build_catalogue()
    broken = plugin_of(catalogue, "broken")
    assert broken.status == "failed"
    assert broken.problems[0].startswith("its entry_points.txt cannot be read: ")
    assert plugin_of(catalogue, "whole").status == "ok"


def test_a_distribution_without_metadata_does_not_break_the_scan(install: Install) -> None:
    site = install("nameless", points={"x": "x_module"}, x_module=hook("return []"))
    (site / "nameless-1.0.dist-info" / "METADATA").unlink()
    assert any(each.name == "x" for each in scan())


@pytest.mark.parametrize(
    ("source", "problem", "line"),
    [
        (
            "import os\nimport no_such_package\n",
            "failed to load: ModuleNotFoundError: No module named 'no_such_package'",
            2,
        ),
        ("raise SystemExit(3)\n", "failed to load: SystemExit: 3", 1),
        (
            "x = 1\ndef (:\n",
            "failed to load: SyntaxError: invalid syntax (stranger_module.py, line 2)",
            2,
        ),
        ("class Odd(BaseException): pass\nraise Odd\n", "failed to load: Odd", 2),
    ],
)
def test_a_module_that_cannot_be_loaded_has_cause_and_place(
    install: Install, source: str, problem: str, line: int
) -> None:
    plugin = load(install, source)
    assert plugin.status == "failed"
    assert plugin.problems == (problem,)
    assert plugin.place is not None
    assert plugin.place.endswith(f"stranger_module.py:{line}")
    assert plugin.label == "plugin 'odd' (stranger 1.0)"


def test_ctrl_c_while_a_plugin_loads_is_not_swallowed(install: Install) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(install, "raise KeyboardInterrupt\n")


def test_a_missing_module_is_named(install: Install) -> None:
    install("stranger", points={"odd": "not_there_at_all"})
    (problem,) = plugin_of(build_catalogue(), "stranger").problems
    assert problem == "failed to load: ModuleNotFoundError: No module named 'not_there_at_all'"


def test_a_hook_that_raises_is_named(install: Install) -> None:
    plugin = load(install, hook("raise RuntimeError('no luck\\nsecond line')"))
    assert plugin.problems == ("spa_judges failed: RuntimeError: no luck",)
    assert plugin.place is not None
    assert plugin.place.endswith("stranger_module.py:4")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return None", "spa_judges failed: TypeError: spa_judges must return a list of Component records, not NoneType"),
        (f"return {record()}", "spa_judges failed: TypeError: spa_judges must return a list of Component records, not a single Component"),
        ("return ['odd']", "spa_judges must return Component records, not str"),
        (f"return [{record(name='Odd_One')}]", "spa_judges: 'Odd_One' is not a component name. Use lower-case letters and digits, joined by hyphens"),
        (f"return [{record(impl='odd_impl.Judge')}]", "judge 'odd': impl must be 'package.module:Class', not 'odd_impl.Judge'"),
        (f"return [{record(config=3)}]", "judge 'odd': config must be 'package.module:Class', not 3"),
        (f"return [{record(summary='  ')}]", "judge 'odd': summary must be a line of text, not '  '"),
        (f"return [{record(api=True)}]", "judge 'odd': api must be a whole number from 1, not True"),
        (f"return [{record(revision=0)}]", "judge 'odd': revision must be a whole number from 1, not 0"),
        (f"return [{record(install_hint=1)}]", "judge 'odd': install_hint must be text or None, not 1"),
        (f"return [{record()}, {record()}]", "spa_judges announces 'odd' twice"),
    ],
)  # fmt: skip
def test_wrong_records_fail_the_plugin(install: Install, body: str, problem: str) -> None:
    plugin = load(install, hook(body))
    assert plugin.status == "failed"
    assert plugin.problems == (problem,)
    assert plugin.entries == ()


def test_hooks_may_yield_their_records(install: Install) -> None:
    plugin = load(install, hook(f"yield {record()}"))
    assert plugin.status == "ok"
    assert [(e.kind, e.component.name) for e in plugin.entries] == [("judge", "odd")]


def test_a_hook_with_unknown_arguments_fails(install: Install) -> None:
    plugin = load(install, hook("return []", arguments="config"))
    assert plugin.status == "failed"
    assert "failed to load: PluginValidationError" in plugin.problems[0]


def test_a_hook_wrapper_fails(install: Install) -> None:
    source = hook("return (yield)").replace("@hookimpl", "@hookimpl(wrapper=True)")
    plugin = load(install, source)
    assert plugin.problems == ("spa_judges cannot be a hook wrapper. Return the records instead",)


def test_an_unknown_hook_is_a_warning(install: Install) -> None:
    plugin = load(install, hook("return []", name="spa_judge"))
    assert plugin.status == "ok"
    assert plugin.warnings[0].startswith(
        "unknown hook 'spa_judge', never called. Did you mean 'spa_judges' or "
    )


def test_a_hook_without_its_marker_is_a_warning(install: Install) -> None:
    plugin = load(install, "def spa_judges():\n    return []\n")
    assert plugin.warnings == ("spa_judges has no @hookimpl, so it is not called",)


def test_a_plugin_without_hooks_is_a_warning(install: Install) -> None:
    plugin = load(install, "")
    assert plugin.warnings[0].startswith("no hook is implemented. Hooks: spa_backends, ")


def test_one_module_under_two_names_is_loaded_for_both(install: Install) -> None:
    install("one", points={"a": "shared_module"}, shared_module=hook(f"return [{record()}]"))
    install("two", points={"a": "shared_module"})
    catalogue = build_catalogue()
    assert plugin_of(catalogue, "one").status == "ok"
    assert plugin_of(catalogue, "two").status == "ok"


def test_two_plugins_of_one_distribution_cannot_announce_the_same(install: Install) -> None:
    install(
        "stranger",
        points={"a": "twice_module", "b": "twice_module"},
        twice_module=hook(f"return [{record()}]"),
    )
    first, second = [p for p in build_catalogue().plugins if p.distribution == "stranger"]
    assert first.status == "ok"
    assert second.problems == (
        "spa_judges announces 'odd', which plugin 'a' of the same distribution announces too",
    )


def test_disabled_plugins_are_not_imported(install: Install) -> None:
    install("stranger", points={"odd": "exploding"}, exploding="raise RuntimeError('imported')")
    for setting in ("no:odd", "no:stranger", "no:Stranger", "none", "no:x, no:odd"):
        plugin = plugin_of(build_catalogue(setting), "stranger")
        assert plugin.status == "disabled"
        assert plugin.problems == ()


def test_builtin_components_cannot_be_disabled() -> None:
    names = {each.qualified for each in build_catalogue("none").components()}
    assert "spa-align/constitution" in names
    assert build_catalogue("no:spa").plugins[0].status == "ok"


def test_settings_are_read_and_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    assert parse_disabled("") == Disabled()
    assert parse_disabled(" no:a ,none,no:a") == Disabled(everything=True, names=("a",))
    monkeypatch.setenv("SPA_PLUGINS", "no:a")
    disable(["no:b"])
    assert os.environ["SPA_PLUGINS"] == "no:a,no:b"
