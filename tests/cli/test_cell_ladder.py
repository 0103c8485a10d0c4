"""The runs of an ablation while they run, as lines and as a table."""

from __future__ import annotations

import re
import time

import pytest

from spa.ablation.record import CellRecord
from spa.cli import progress
from spa.cli.cell_ladder import CellLadder, LiveCellLadder
from spa.cli.console import err

CELLS = [
    CellRecord("a", "loss=spa", "seed=0", [], [], status="done"),
    CellRecord("b", "loss=dpo", "seed=0", [], []),
    CellRecord("c", "loss=ipo", "seed=0", [], []),
]


def play(ladder: CellLadder) -> None:
    stage = {"run": "b", "stage": "train", "total": 40}
    with ladder:
        ladder({"kind": "cell_started", "run": "b"})
        ladder({"kind": "stage_started", "done": 0, **stage})
        ladder({"kind": "stage_progress", "done": 20, **stage})
        ladder({"kind": "cell_stopping", "run": "b"})
        ladder({"kind": "stage_finished", "done": 40, "details": {"cached": False}, **stage})
        done = {"kind": "cell_finished", "status": "failed", "seconds": 62.0}
        ladder({"run": "b", "error": "the disk\nis full", **done})
        ladder({"kind": "cell_started", "run": "c"})
        ladder({"kind": "stage_progress", "run": "c", "stage": "sample", "done": 3, "total": 9})
        ladder({"kind": "run_started", "run": "a stranger"})


def test_lines_are_written_when_something_is_news(capsys: pytest.CaptureFixture[str]) -> None:
    err.cache_clear()
    play(CellLadder(CELLS))
    said = re.sub(r"\d\.\ds", "0.0s", capsys.readouterr().err)
    lines = [" ".join(line.split()[1:]) for line in said.splitlines()]
    assert lines[0] == "2/3 loss=dpo, seed=0 running 0.0s"
    assert lines[1].startswith(
        "2/3 loss=dpo, seed=0 running train 20/40 0.0s stopping, and keeping"
    )
    assert lines[2].startswith("2/3 loss=dpo, seed=0 running train 40")
    assert lines[3] == "2/3 loss=dpo, seed=0 failed 1:02 the disk is full"
    assert lines[4] == "3/3 loss=ipo, seed=0 running 0.0s"
    assert len(lines) == 5


def test_long_silence_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a stage that takes hours, of which an ablation says nothing else before its end."""
    monkeypatch.setattr(progress, "SILENCE", 0.2)
    with CellLadder(CELLS) as ladder:
        time.sleep(0.5)
        ladder({"kind": "cell_started", "run": "b"})
        stage = {"run": "b", "stage": "sample", "total": 9}
        ladder({"kind": "stage_started", "done": 0, **stage})
        ladder({"kind": "stage_progress", "done": 3, **stage})
        time.sleep(0.5)
    lines = [line.split()[1:] for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == ["loading"]
    assert sum(line[-3:-1] == ["sample", "3/9"] for line in lines) > 0


def test_the_table_shows_all_runs(capsys: pytest.CaptureFixture[str]) -> None:
    err.cache_clear()
    ladder = LiveCellLadder(CELLS)
    play(ladder)
    capsys.readouterr()
    rows = [[str(cell) for cell in column.cells] for column in ladder.table().columns]
    assert rows[0] == ["✓ loss=spa, seed=0", "✗ loss=dpo, seed=0", "■ loss=ipo, seed=0"]
    assert rows[1] == ["", "", "sample 3/9"]
    assert rows[2][:2] == ["", "1:02"]
    assert rows[3] == ["from before", "the disk is full", ""]
