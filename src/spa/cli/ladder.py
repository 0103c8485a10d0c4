"""Shows the stages of a run while they run: a live table on a terminal, log lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spa.cli.amounts import clock
from spa.cli.progress import LiveTable, LogLines, Timed
from spa.types import RunEvent

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Ladder", "LiveLadder", "Rung"]

LOG_EVERY = 15.0  # seconds between log lines of one stage
EARLY = 0.05  # share of the rows that must come in before their rate says something
_SIGN = {"waiting": "·", "running": "▸", "done": "✓", "cached": "✓", "stopped": "■"}


@dataclass(slots=True)
class Rung(Timed):
    """What is shown of one stage."""

    name: str
    done: int = 0
    total: int | None = None
    failed: int = 0
    rate: float | None = None
    note: str = ""
    first: tuple[float, int] | None = None

    def left(self) -> float | None:
        """Seconds that it will still take, from the rate since the first rows came.

        Rows of an earlier process took no time in this one, and before the first row models load.
        """
        if self.state != "running" or not self.total or self.first is None:
            return None
        since, before = self.first
        come = self.done - before
        if come <= 0 or come < EARLY * (self.total - before):
            return None
        return (time.monotonic() - since) / come * (self.total - self.done)


class Ladder(LogLines):
    """Listens to a run and writes a log line when a stage starts, goes on and ends."""

    def __init__(self, stages: Sequence[str]) -> None:
        """Takes the titles of all stages to come."""
        super().__init__()
        self.rungs = {name: Rung(name) for name in stages}

    def __call__(self, event: RunEvent) -> None:
        """Takes an event in."""
        if event.stage is None:
            return
        rung = self.rungs.setdefault(event.stage, Rung(event.stage))
        _update(rung, event)
        self.show(rung, event)

    def show(self, rung: Rung, event: RunEvent) -> None:
        """Writes a log line, unless the last one of the stage is only seconds old."""
        recent = time.monotonic() - self.logged < LOG_EVERY
        if event.kind != "stage_progress" or not recent:
            self.log(_line(rung))

    def under_way(self) -> str | None:
        """The last stage that runs."""
        running = [rung for rung in self.rungs.values() if rung.state == "running"]
        return _line(running[-1]) if running else None

    def stop(self) -> None:
        """Stages under way count as stopped."""
        for rung in self.rungs.values():
            rung.stop("stopped")


class LiveLadder(LiveTable, Ladder):
    """Shows the whole ladder as a table that is drawn anew several times a second."""

    def show(self, rung: Rung, event: RunEvent) -> None:
        """Nothing to do: the table is drawn from the rungs at its own pace."""

    def table(self) -> Table:
        """The ladder as it stands."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("stage", no_wrap=True)
        for name in ("rows", "failed", "tokens/s", "time", "left"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("")
        styles = {"waiting": "dim", "running": "bold cyan", "cached": "green", "stopped": "yellow"}
        for rung in self.rungs.values():
            table.add_row(*_cells(rung), style=styles.get(rung.state, ""))
        return table


def _update(rung: Rung, event: RunEvent) -> None:
    rung.done, rung.failed = event.done, event.failed
    rung.total = event.total
    if event.kind == "stage_started":
        rung.state, rung.started, rung.first = "running", time.monotonic(), None
    elif event.kind == "stage_progress":
        rung.first = rung.first or (time.monotonic(), event.done)
        rate = event.details.get("tokens_per_second")
        rung.rate = rate if isinstance(rate, float) else rung.rate
        rung.note = _notes(event) or rung.note
    elif event.kind == "stage_finished":
        rung.state = "cached" if event.details.get("cached") else "done"
        seconds = event.details.get("seconds")
        rung.seconds = float(seconds) if isinstance(seconds, (int, float)) else None
        rung.note = _notes(event) or rung.note


def _notes(event: RunEvent) -> str:
    """What is said of a stage besides its figures; of training, the step it is at."""
    stored = ["from the store"] if event.details.get("cached") else []
    return ", ".join([*stored, *(_training(event) if not stored else []), *_unscored(event)])


def _training(event: RunEvent) -> list[str]:
    loss = event.details.get("loss")
    if not isinstance(loss, float):
        return []
    return [f"step {event.details.get('step')}/{event.details.get('steps')}", f"loss {loss:.3f}"]


def _unscored(event: RunEvent) -> list[str]:
    """What a judging stage says of responses without a score: ``["3 unscored"]``, or nothing."""
    reasons = event.details.get("unscored")
    counts = reasons.values() if isinstance(reasons, Mapping) else ()
    total = sum(count for count in counts if isinstance(count, int))
    return [f"{total:,} unscored"] if total else []


def _rows(rung: Rung) -> str:
    if rung.state == "waiting":
        return ""
    return f"{rung.done:,}" if rung.total in (None, rung.done) else f"{rung.done:,}/{rung.total:,}"


def _cells(rung: Rung) -> tuple[str, ...]:
    return (
        f"{_SIGN[rung.state]} {rung.name}",
        _rows(rung),
        f"{rung.failed:,}" if rung.failed else "",
        f"{rung.rate:,.0f}" if rung.rate else "",
        clock(rung.elapsed()),
        clock(rung.left()),
        rung.note,
    )


def _line(rung: Rung) -> str:
    """A stage as a log line: name, state and the figures that there are."""
    left, spent = clock(rung.left()), clock(rung.elapsed())
    parts = [
        f"{rung.name + ' ':<24}{rung.state:<9}",
        f"{_rows(rung)} rows" if rung.state != "waiting" else "",
        f"{rung.failed:,} failed" if rung.failed else "",
        f"{rung.rate:,.0f} tokens/s" if rung.rate else "",
        spent,
        f"{left} left" if left else "",
        rung.note,
    ]
    return "  ".join(part for part in parts if part)
