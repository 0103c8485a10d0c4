"""What is shown of a run while it runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from spa.cli import progress as module
from spa.cli.ladder import Ladder, LiveLadder, Rung
from spa.types import RunEvent


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written, on something that says it is a terminal."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(module, "err", lambda: console)
    return stream


def event(kind: str, done: int, total: int, **details: object) -> RunEvent:
    return RunEvent(kind, "run", "sample", done, total, 0, details)  # type: ignore[arg-type]


def test_log_lines_come_at_start_and_end_and_rarely_between(screen: io.StringIO) -> None:
    with Ladder(["sample"]) as ladder:
        ladder(event("stage_started", 0, 4))
        ladder(event("stage_progress", 1, 4, tokens_per_second=12.0))
        ladder(event("stage_finished", 4, 4, seconds=61.0, cached=False))
        ladder(RunEvent("run_finished", "run"))
    lines = [line.split(maxsplit=1)[1].strip() for line in screen.getvalue().splitlines()]
    assert len(lines) == 2
    assert lines[0].split() == ["sample", "running", "0/4", "rows", "0.0s"]
    assert lines[1].split() == ["sample", "done", "4", "rows", "12", "tokens/s", "1:01"]


def test_long_silence_is_broken(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.2)
    with Ladder(["sample"]) as ladder:
        module.time.sleep(0.5)
        ladder(event("stage_started", 0, 4))
        module.time.sleep(0.5)
    lines = [line.split(maxsplit=1)[1].split() for line in screen.getvalue().splitlines()]
    assert lines[0] == ["loading"]
    assert sum(line[:3] == ["sample", "running", "0/4"] for line in lines) > 1


def test_time_left_is_shown_once_it_says_something() -> None:
    now = module.time.monotonic()
    rung = Rung("sample", state="running", done=1, total=100, started=now - 99, first=(now - 10, 1))
    assert rung.left() is None
    rung.done = 51
    assert rung.left() == pytest.approx(49 / 5, abs=0.5)


def test_rows_of_an_earlier_process_say_nothing_of_the_time_left(screen: io.StringIO) -> None:
    with Ladder(["sample"]) as ladder:
        ladder(event("stage_started", 900, 1000))
        ladder(event("stage_progress", 901, 1000))
        rung = ladder.rungs["sample"]
        rung.first = (module.time.monotonic() - 10, 901)
        assert rung.left() is None
        ladder(event("stage_progress", 911, 1000))
        assert rung.left() == pytest.approx(89, abs=1)
    assert screen.getvalue()


def test_the_live_table_shows_every_stage_and_what_was_under_way(screen: io.StringIO) -> None:
    with LiveLadder(["prompts", "sample", "train"]) as ladder:
        ladder(event("stage_started", 0, 4))
        ladder(event("stage_progress", 2, 4, tokens_per_second=1234.0))
        ladder(
            RunEvent("stage_finished", "run", "prompts", 9, 9, 1, {"cached": True, "seconds": 0})
        )
    last = screen.getvalue()
    for text in ("✓ prompts", "from the store", "■ sample", "2/4", "1,234", "· train"):
        assert text in last


def test_unscored_responses_are_shown_whether_judged_now_or_before(screen: io.StringIO) -> None:
    unscored = {"low_label_mass": 1200, "missing": 34}
    with Ladder(["sample"]) as ladder:
        ladder(event("stage_finished", 9, 9, seconds=1.0, cached=False, unscored=unscored))
        assert ladder.rungs["sample"].note == "1,234 unscored"
        ladder(event("stage_progress", 3, 9, unscored={"missing": 2}))
        assert ladder.rungs["sample"].note == "2 unscored"
        ladder(event("stage_finished", 9, 9, seconds=1.0, cached=True, unscored=unscored))
        assert ladder.rungs["sample"].note == "from the store, 1,234 unscored"
        ladder(event("stage_finished", 9, 9, seconds=1.0, cached=True, unscored={}))
        assert ladder.rungs["sample"].note == "from the store"


def test_training_shows_step_and_loss(screen: io.StringIO) -> None:
    with Ladder(["train"]) as ladder:
        ladder(RunEvent("stage_started", "run", "train", 0, 8))
        details = {"step": 2, "steps": 4, "loss": 0.6931}
        ladder(RunEvent("stage_progress", "run", "train", 4, 8, 0, details))
        assert ladder.rungs["train"].note == "step 2/4, loss 0.693"
        done = {"step": 4, "steps": 4, "loss": 0.5, "seconds": 9.0, "cached": False}
        ladder(RunEvent("stage_finished", "run", "train", 8, 8, 0, done))
        assert ladder.rungs["train"].note == "step 4/4, loss 0.500"
        ladder(RunEvent("stage_finished", "run", "train", 8, 8, 0, {**done, "cached": True}))
        assert ladder.rungs["train"].note == "from the store"
    assert "train" in screen.getvalue()
