# ruff: noqa: E501 - messages are quoted in full
"""What a command imports decides how fast it answers, and whether a broken plugin can break it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from spa.cli.app import COMMANDS, CommandPlace

HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "pyarrow", "scipy")
PROBE = """
import sys
from spa.cli import main
code = main(sys.argv[1:])
print("IMPORTED", *sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


def imported(*args: str, path: Path | None = None) -> set[str]:
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, *args],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
    (line,) = [each for each in ran.stderr.splitlines() if each.startswith("IMPORTED ")]
    return set(line.split()[1:])


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A plugin whose implementation may not be imported."""
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spa.plugins]\nodd = stranger_plugin\n")
    (tmp_path / "stranger_impl.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "stranger_plugin.py").write_text(
        "from spa.api import Component, hookimpl\n"
        "@hookimpl\n"
        "def spa_judges():\n"
        "    return [Component(name='odd', impl='stranger_impl:Judge',"
        " config='stranger_impl:Config', summary='s')]\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    "args", [("--help",), ("--version",), ("plugins", "list"), ("components",), ("plugins", "--help")]
)  # fmt: skip
def test_listing_imports_nothing_heavy_and_no_implementation(
    args: tuple[str, ...], stranger: Path
) -> None:
    modules = imported(*args, path=stranger)
    roots = {name.partition(".")[0] for name in modules}
    assert not roots & set(HEAVY)
    assert "stranger_impl" not in modules
    implementations = [
        name
        for name in modules
        if name.startswith("spa.components.") and name != "spa.components.catalogue"
    ]
    assert implementations == []


def test_help_loads_no_plugin_and_no_command(stranger: Path) -> None:
    modules = imported("--help", path=stranger)
    assert "stranger_plugin" not in modules
    assert not {place.target.partition(":")[0] for place in COMMANDS} & modules
    assert not {"pydantic", "rich.console"} & modules


@pytest.mark.skipif(sys.platform == "win32", reason="no processor time of child processes")
def test_help_is_fast() -> None:
    import resource

    def seconds() -> float:
        # Processor time, so that other work on the machine does not count.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-c", "import sys; from spa.cli import main; sys.exit(main())", "-h"],
            capture_output=True, check=True,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.3


@pytest.mark.parametrize("place", COMMANDS, ids=lambda place: place.name)
def test_the_table_says_what_the_docstring_says(place: CommandPlace) -> None:
    module, _, attribute = place.target.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    text = target.info.help if isinstance(target, typer.Typer) else target.__doc__
    assert text.splitlines()[0] == place.summary


def test_the_module_has_the_exit_codes_of_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "spa", "run", "missing.yaml"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 2
    assert "missing.yaml  no such file" in ran.stderr
