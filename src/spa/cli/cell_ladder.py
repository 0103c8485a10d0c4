"""Shows the runs of an ablation while they run: a live table on a terminal, log lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from spa.cli.amounts import clock
from spa.cli.console import err

if TYPE_CHECKING:
    from rich.table import Table

    from spa.ablation.record import CellRecord

__all__ = ["CellLadder", "CellRung", "LiveCellLadder"]

_SIGN = {"waiting": "·", "running": "▸", "done": "✓", "failed": "✗", "skipped": "✗"}
_STYLE = {
    "waiting": "dim",
    "running": "bold cyan",
    "failed": "red",
    "skipped": "red",
    "interrupted": "yellow",
}


@dataclass(slots=True)
class CellRung:
    """What is shown of one run."""

    label: str
    state: str = "waiting"
    stage: str = ""
    note: str = ""
    started: float = 0.0
    seconds: float | None = None

    def elapsed(self) -> float | None:
        """Seconds that it took, or has taken so far."""
        if self.seconds is not None:
            return self.seconds
        return time.monotonic() - self.started if self.state == "running" else None


class CellLadder:
    """Listens to an ablation and writes a log line when a run starts, gets on and ends."""

    def __init__(self, cells: Sequence[CellRecord]) -> None:
        """Takes all runs, those that are done already included."""
        self.rungs = {
            cell.run: CellRung(
                cell.label, cell.status, note="from before" if cell.status == "done" else ""
            )
            for cell in cells
        }

    def __enter__(self) -> CellLadder:
        """Begins showing."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops showing; a run under way counts as interrupted."""
        for rung in self.rungs.values():
            if rung.state == "running":
                rung.seconds, rung.state = rung.elapsed(), "interrupted"

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Takes an event in."""
        rung = self.rungs.get(str(event.get("run")))
        if rung is None:
            return
        _update(rung, event)
        if event["kind"].startswith("cell_") or _is_news(event):
            self.show(rung)

    def show(self, rung: CellRung) -> None:
        """Writes a log line."""
        err().print(f"{time.strftime('%H:%M:%S')}  {self._line(rung)}", soft_wrap=True)

    def _line(self, rung: CellRung) -> str:
        number = list(self.rungs.values()).index(rung) + 1
        parts = [
            f"{number}/{len(self.rungs)}",
            f"{rung.label:<32}{rung.state:<9}",
            rung.stage,
            clock(rung.elapsed()),
            rung.note,
        ]
        return "  ".join(part for part in parts if part)


class LiveCellLadder(CellLadder):
    """Shows all runs as a table that is drawn anew several times a second."""

    def __enter__(self) -> LiveCellLadder:
        """Begins drawing."""
        from rich.live import Live

        self._live = Live(get_renderable=self.table, console=err(), refresh_per_second=4)
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Draws the last state and leaves it on the screen."""
        super().__exit__(kind, error, trace)
        self._live.__exit__(kind, error, trace)

    def show(self, rung: CellRung) -> None:
        """Nothing to do: the table is drawn from the rungs at its own pace."""

    def table(self) -> Table:
        """The runs as they stand."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("run")
        table.add_column("stage", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("")
        for rung in self.rungs.values():
            table.add_row(
                f"{_SIGN.get(rung.state, '■')} {rung.label}",
                rung.stage,
                clock(rung.elapsed()),
                rung.note,
                style=_STYLE.get(rung.state, ""),
            )
        return table


def _is_news(event: Mapping[str, Any]) -> bool:
    """Whether a stage ended that was not in the store."""
    return event["kind"] == "stage_finished" and not (event.get("details") or {}).get("cached")


def _update(rung: CellRung, event: Mapping[str, Any]) -> None:
    kind = event["kind"]
    if kind == "cell_started":
        rung.state, rung.started, rung.note = "running", time.monotonic(), ""
    elif kind == "cell_stopping":
        rung.note = "stopping, and keeping what is finished; Ctrl-C again: at once"
    elif kind in ("stage_started", "stage_progress", "stage_finished"):
        done, total = event.get("done"), event.get("total")
        ended = kind == "stage_finished" or total in (None, done)
        rows = f"{done:,}" if ended else f"{done:,}/{total:,}"
        rung.stage = f"{event['stage']} {rows}"
    elif kind == "cell_finished":
        rung.state, rung.seconds = str(event["status"]), event["seconds"]
        rung.stage = ""
        rung.note = " ".join(str(event["error"] or "").split())
