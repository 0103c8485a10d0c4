"""A run is given by its folder or by its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from made_run import make_run

from spa.cli import main
from spa.cli.chosen_run import chosen_run, run_folder
from spa.errors import UsageError

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPA_RUNS", raising=False)
    make_run(Path("runs"))


def test_by_folder_or_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_run(Path("runs/made-1")).folder == Path("runs/made-1")
    assert chosen_run(Path("made-1")).folder == Path("runs/made-1")
    Path("runs").rename("elsewhere")
    with pytest.raises(UsageError, match=r"There is no run in runs; runs elsewhere are given by"):
        chosen_run(Path("made-1"))
    monkeypatch.setenv("SPA_RUNS", "elsewhere")
    assert chosen_run(Path("made-1")).folder == Path("elsewhere/made-1")


def test_a_folder_here_comes_before_a_name() -> None:
    shutil.copytree("runs/made-1", "made-1")
    assert run_folder(Path("made-1")) == Path("made-1")


@pytest.mark.parametrize("command", ["show", "export", "retry", "store export", "store verify"])
def test_what_is_no_run_is_refused(command: str, capsys: Captured) -> None:
    assert main([*command.split(), "gone"]) == 2
    assert capsys.readouterr().err == (
        "gone is no run: it is neither its folder nor its name. In runs are: made-1.\n"
    )
    cells = [{"run": f"tiny-{n}", "setting": "", "seed": "", "swaps": [], "sets": []} for n in "ab"]
    known = {"name": "grid", "recipe_file": "r.yaml", "command": "", "axes": [], "notes": []}
    record = {**known, "cells": cells, "status": "done", "seconds": 1.0, "options": []}
    Path("runs/grid").mkdir()
    Path("runs/grid/ablation.json").write_text(json.dumps(record))
    assert main([*command.split(), "grid"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "runs/grid is an ablation, not a run. Name one of its runs: runs/tiny-a, runs/tiny-b.\n"
    )
