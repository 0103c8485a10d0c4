from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spa.plugins.catalogue import build_catalogue
from spa.plugins.examination import Finding, examine

Install = Callable[..., Path]


def findings(distribution: str, setting: str = "") -> list[Finding]:
    found = examine(build_catalogue(setting))
    return [finding for finding in found if f"({distribution} " in finding.title]


def test_a_sound_plugin_gives_no_finding(install: Install, install_judge: Install) -> None:
    install_judge("stranger", "odd")
    source = """
        from spa.api import ComponentConfig as Config
        class Judge:
            scale = None
            def score(self, prompt, response, objectives): return {}
    """
    install("carrier", points={}, stranger_impl=source)
    assert findings("stranger") == []
    assert findings("spa-align") == []


def test_a_failed_plugin_has_cause_place_and_advice(install: Install) -> None:
    site = install("broken", points={"bad": "bad_three"}, bad_three="raise OSError('no')")
    (found,) = findings("broken")
    assert found.title == "plugin 'bad' (broken 1.0) is failed"
    assert found.lines == (
        "failed to load: OSError: no",
        f"at {site / 'bad_three.py'}:1",
        "To update it:    pip install --upgrade broken",
        "To leave it out: spa -P no:bad ...",
        "To remove it:    pip uninstall broken",
    )


def test_components_that_cannot_be_imported_are_found(install_judge: Install) -> None:
    install_judge("stranger", "odd")
    (found,) = findings("stranger")
    assert found.broken
    assert found.lines[0] == "judge 'odd' (stranger 1.0): there is no module 'stranger_impl'."
    assert found.lines[1].startswith("To update it:")


def test_warnings_and_disabled_plugins_are_not_broken(install: Install) -> None:
    install("empty", points={"none": "empty_module"}, empty_module="")
    (found,) = findings("empty")
    assert not found.broken
    assert found.title == "plugin 'none' (empty 1.0) is ok, but:"
    (found,) = findings("empty", "no:empty")
    assert not found.broken
    assert found.title == "plugin 'none' (empty 1.0) is disabled, and not checked"
