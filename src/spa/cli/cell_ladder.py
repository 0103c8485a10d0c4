"""Shows the runs of an ablation while they run: a live table on a terminal, log lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spa.cli.amounts import clock
from spa.cli.progress import LiveTable, LogLines, Timed

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
class CellRung(Timed):
    """What is shown of one run."""

    label: str
    stage: str = ""
    note: str = ""


class CellLadder(LogLines):
    """Listens to an ablation and writes a log line when a run starts, gets on and ends."""

    def __init__(self, cells: Sequence[CellRecord]) -> None:
        """Takes all runs, those that are done already included."""
        super().__init__()
        self.rungs = {
            cell.run: CellRung(
                cell.label, state=cell.status, note="from before" if cell.status == "done" else ""
            )
            for cell in cells
        }

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
        self.log(self._line(rung))

    def under_way(self) -> str | None:
        """The run that goes on."""
        return next((self._line(r) for r in self.rungs.values() if r.state == "running"), None)

    def stop(self) -> None:
        """A run under way counts as interrupted."""
        for rung in self.rungs.values():
            rung.stop("interrupted")

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


class LiveCellLadder(LiveTable, CellLadder):
    """Shows all runs as a table that is drawn anew several times a second."""

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
