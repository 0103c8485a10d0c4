"""Two processes at once: in one run's folder, and at the stages that two runs share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spa.cli import main
from spa.engine.lock import FILE, writer_lock


def start(recipe: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "spa", "run", recipe.name, "--name", name],
        cwd=recipe.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_that_is_being_written_is_refused(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one process: `tests/faults` has two at one run."""
    monkeypatch.chdir(recipe_file.parent)
    folder = Path("runs", "one")
    with writer_lock(folder):
        assert main(["run", recipe_file.name, "--name", "one"]) == 1
    assert f"runs/one is being written by process {os.getpid()} on " in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_runs_that_share_stages_take_turns_and_ask_once(recipe_file: Path) -> None:
    runs = [start(recipe_file, name) for name in ("first", "second")]
    ends = [run.communicate(timeout=500) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], [told for _, told in ends]
    folder = recipe_file.parent / "runs"
    manifests = [
        json.loads((folder / name / "run.json").read_text()) for name in ("first", "second")
    ]
    stages = [{s["name"]: s for s in manifest["stages"]} for manifest in manifests]
    assert stages[0].keys() == stages[1].keys()
    for name, stage in stages[0].items():
        assert stage["folder"] == stages[1][name]["folder"]
        assert not (folder / "store" / stage["folder"] / FILE).exists()
    for asking in ("sample", "judge", "refine"):
        # A key, and no more: there are answers of judge-refined, too.
        (answers,) = (folder / "store").glob(f"answers-{asking}-{'[0-9a-f]' * 16}")
        log = answers / "part-00000.jsonl"
        keys = [json.loads(line)["request"] for line in log.read_text().splitlines()]
        assert len(keys) == stages[0][asking]["details"]["asked"]
