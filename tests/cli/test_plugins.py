# ruff: noqa: E501 - messages are quoted in full
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spa import __version__
from spa.cli import main
from spa.plugins import catalogue as catalogue_module

JUDGE = """
from spa.api import Component, hookimpl

@hookimpl
def spa_judges():
    return [Component(name="odd", impl="odd_impl:Judge", config="odd_impl:Config", summary="Odd one")]
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test discovers anew, with no plugin but its own."""
    catalogue_module._cached.cache_clear()
    monkeypatch.setenv("SPA_PLUGINS", "no:spa-rubric")
    monkeypatch.setenv("COLUMNS", "120")
    for console in ("out", "err"):
        from spa.cli import console as consoles

        getattr(consoles, console).cache_clear()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a broken and a sound plugin."""
    for name, source in (("broken", "import no_such_package\n"), ("sound", JUDGE)):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[spa.plugins]\n{name} = {name}_plugin_of_test\n")
        (tmp_path / f"{name}_plugin_of_test.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_list_names_every_plugin_with_its_status(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "list"]) == 0
    captured = capsys.readouterr()
    found = {row[0]: row for row in rows(captured.out)}
    assert found["broken"][:4] == ["broken", "broken", "1.0", "failed"]
    assert found["sound"][:5] == ["sound", "sound", "1.0", "ok", "odd"]
    assert found["spa"][1:4] == ["spa-align", __version__, "ok"]
    assert captured.err.splitlines()[-1] == "Next: spa plugins doctor"


def test_list_as_json_is_one_record_a_line(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "list", "--json"]) == 0
    captured = capsys.readouterr()
    records = {each["name"]: each for each in map(json.loads, captured.out.splitlines())}
    assert captured.err == ""
    assert records["broken"]["place"] == f"{site / 'broken_plugin_of_test.py'}:1"
    assert records["broken"]["problems"] == [
        "failed to load: ModuleNotFoundError: No module named 'no_such_package'"
    ]
    assert records["sound"]["components"][0]["name"] == "odd"


def test_a_plugin_can_be_left_out(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-P", "no:broken", "-P", "no:sond", "plugins", "list"]) == 0
    captured = capsys.readouterr()
    states = {row[0]: row[3] for row in rows(captured.out) if len(row) > 3}
    assert states["broken"] == "disabled"
    assert captured.err.splitlines()[0].startswith(
        "Warning: no plugin 'sond' to leave out (option -P or SPA_PLUGINS). Did you mean 'sound'?"
    )
    assert os.environ["SPA_PLUGINS"] == "no:spa-rubric,no:broken,no:sond"


def test_a_wrong_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-P", "rubric", "plugins", "list"]) == 2
    assert (
        "'rubric' says nothing about plugins (option -P or SPA_PLUGINS)" in capsys.readouterr().err
    )


def test_a_wrong_variable_is_an_error_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPA_PLUGINS", "[bold]x")
    assert main(["components"]) == 2
    assert capsys.readouterr().err == (
        "'[bold]x' says nothing about plugins (option -P or SPA_PLUGINS). "
        "Write 'no:NAME' to leave out one plugin, or 'none' to leave out all.\n"
    )


def test_show_describes_a_plugin(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "show", "sound"]) == 0
    captured = capsys.readouterr()
    assert "plugin 'sound' (sound 1.0)\nstatus   ok\n" in captured.out
    assert "judge odd: Odd one" in captured.out
    assert captured.err == "Next: spa components odd\n"
    assert main(["plugins", "show", "broken"]) == 0
    assert "No module named 'no_such_package'" in capsys.readouterr().out
    assert main(["plugins", "show", "soud", "--json"]) == 2
    assert capsys.readouterr().err.startswith("unknown plugin 'soud'. Did you mean 'sound'?")


def test_doctor_fails_where_something_is_broken(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "doctor"]) == 1
    captured = capsys.readouterr()
    assert (
        "plugin 'broken' (broken 1.0) is failed\n"
        "  failed to load: ModuleNotFoundError: No module named 'no_such_package'\n"
        f"  at {site / 'broken_plugin_of_test.py'}:1\n"
        "  To update it:    pip install --upgrade broken\n"
    ) in captured.out
    assert "judge 'odd' (sound 1.0): there is no module 'odd_impl'." in captured.out
    assert captured.err.splitlines()[0].startswith("2 of ")


def test_doctor_is_content_with_the_built_in_components(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPA_PLUGINS", "none")
    assert main(["plugins", "doctor"]) == 0
    captured = capsys.readouterr()
    assert "none broken." in captured.out
    assert captured.err == "Next: spa components\n"


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin"]) == 2
    assert "No such command 'plugin'. Did you mean 'plugins', 'plan'?" in capsys.readouterr().err
    assert main(["plugins", "list", "--jsn"]) == 2
    assert main([]) == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"spa {__version__}\n"


def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalogue_module, "load_catalogue", interrupted)
    assert main(["components"]) == 130


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = "import sys; from spa.cli import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", program, "components", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode in (0, 1)
