"""Carries an ablation out: one run after the other, whatever becomes of any of them."""

from __future__ import annotations

import json
import shlex
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from spa.ablation.record import AblationRecord, CellRecord, CellStatus, write_record
from spa.ablation.server import CellServer
from spa.ablation.sharing import stage_identities
from spa.engine.files import disk_errors
from spa.engine.interrupt import signals_to
from spa.engine.lock import writer_lock
from spa.engine.manifest import read_manifest
from spa.types import JsonValue

if TYPE_CHECKING:
    from spa.engine.planning import RunPlan
    from spa.recipe import Recipe

__all__ = ["LOG", "PlannedCell", "carry_out", "cell_command", "is_done"]

LOG = "run.log"
"""Name of the file in a run's folder that holds what the run said."""

INTERRUPTED = 130
_ENOUGH = 2
"""Runs in which a stage failed before runs that need the same stage are not tried."""

_LAST_LINES = 5


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell with what is known of it before it runs."""

    recipe: Recipe
    plan: RunPlan


def carry_out(
    record: AblationRecord,
    planned: Mapping[str, PlannedCell],
    runs: Path,
    listen: Callable[[Mapping[str, JsonValue]], None],
) -> None:
    """Runs every cell that is not done, in order, and keeps the record current.

    Args:
        record: Of the ablation; it is changed as runs end.
        planned: Name of the run to recipe and plan.
        runs: The folder of runs.
        listen: Told of ``cell_started``, ``cell_stopping`` after Ctrl-C and ``cell_finished``,
            and in between of what the run itself tells; each a record with ``kind`` and ``run``.

    Raises:
        KeyboardInterrupt: If the user asked to stop; the record and all rows are kept.
        RunError: If another process carries the same ablation out, or the folder cannot be written.
    """
    folder = runs / record.name
    with writer_lock(folder):
        for cell in record.cells:
            cell.status = "done" if is_done(planned[cell.run], runs / cell.run) else "waiting"
            cell.error = None
        started = time.monotonic()
        record.status = "running"
        write_record(folder, record)
        work = _Work(record, planned, runs, listen)
        if record.with_status("waiting"):
            with CellServer() as server:
                stopping = _Stopping(server)
                with signals_to(stopping.handle):
                    for cell in record.with_status("waiting"):
                        work.carry_out(cell, server, stopping)
                        record.seconds = time.monotonic() - started
                        write_record(folder, record)
                        if stopping.asked or cell.status == "interrupted":
                            break
        interrupted = bool(record.with_status("waiting", "interrupted"))
        failed = bool(record.with_status("failed", "skipped"))
        record.status = "interrupted" if interrupted else "failed" if failed else "done"
        record.seconds = time.monotonic() - started
        write_record(folder, record)
    if interrupted:
        raise KeyboardInterrupt


def is_done(cell: PlannedCell, folder: Path) -> bool:
    """Whether a run has ended with what it would be made of now, and all of that is stored."""
    manifest = _manifest(folder)
    return (
        manifest is not None
        and manifest["status"] == "done"
        and _same_recipe(manifest, cell.recipe)
        and all(stage.status == "hit" for stage in cell.plan.stages)
    )


def cell_command(record: AblationRecord, cell: CellRecord, runs: Path) -> list[str]:
    """The command that runs one cell alone."""
    words = ["run", cell.recipe_file or record.recipe_file]
    for swap in cell.swaps:
        words += ["--swap", swap]
    for value in cell.sets:
        words += ["--set", value]
    return [*words, *record.options, "--runs-dir", str(runs), "--name", cell.run]


class _Stopping:
    """Hands Ctrl-C and SIGTERM on to the run under way, which then keeps what it has."""

    def __init__(self, server: CellServer) -> None:
        self.asked = False
        self._server = server

    def handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True
        self._server.stop()


class _Work:
    """Runs cells, and remembers which stages failed."""

    def __init__(
        self,
        record: AblationRecord,
        planned: Mapping[str, PlannedCell],
        runs: Path,
        listen: Callable[[Mapping[str, JsonValue]], None],
    ) -> None:
        self.record = record
        self.planned = planned
        self.runs = runs
        self.listen = listen
        self.failures: Counter[str] = Counter()
        self.last_failure: dict[str, CellRecord] = {}

    def carry_out(self, cell: CellRecord, server: CellServer, stopping: _Stopping) -> None:
        """Runs a cell, or skips it."""
        identities = self._identities(cell)
        for title, identity in identities.items():
            if self.failures[identity] >= _ENOUGH:
                before = self.last_failure[identity]
                cell.status = "skipped"
                cell.error = (
                    f"its stage {title} failed in {self.failures[identity]} runs that share it, "
                    f"the last time in {before.run}: {before.error}"
                )
                self._finished(cell)
                return
        started = time.monotonic()
        cell.status = "running"
        self.listen({"kind": "cell_started", "run": cell.run, "label": cell.label})
        status, stage = self._run(cell, server, stopping)
        cell.status, cell.seconds = status, time.monotonic() - started
        if status == "failed" and stage in identities:
            self.failures[identities[stage]] += 1
            self.last_failure[identities[stage]] = cell
        self._finished(cell)

    def _identities(self, cell: CellRecord) -> dict[str, str]:
        planned = self.planned[cell.run]
        titles = [stage.title for stage in planned.plan.stages]
        identities = stage_identities(planned.recipe, planned.plan)
        return dict(zip(titles, identities, strict=True))

    def _finished(self, cell: CellRecord) -> None:
        log = self.runs / cell.run / LOG
        self.listen(
            {
                "kind": "cell_finished",
                "run": cell.run,
                "label": cell.label,
                "status": cell.status,
                "error": cell.error,
                "seconds": cell.seconds,
                "log": str(log) if log.is_file() else None,
            }
        )

    def _run(
        self, cell: CellRecord, server: CellServer, stopping: _Stopping
    ) -> tuple[CellStatus, str | None]:
        """Runs a cell in a process; gives what became of it, and the stage at which it ended."""
        folder = self.runs / cell.run
        log = folder / LOG
        arguments = cell_command(self.record, cell, self.runs)
        with disk_errors(log):
            folder.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as file:
                file.write(f"$ {shlex.join(['spa', *arguments])}\n")
                begin = file.tell()
        stage: str | None = None
        error: str | None = None
        told = False
        for event in server.run([*arguments, "--json"], log):
            kind = event["kind"]
            if stopping.asked and not told:
                told = True
                self.listen({"kind": "cell_stopping", "run": cell.run, "label": cell.label})
            if kind in ("stage_started", "stage_progress"):
                stage = event.get("stage")
            elif kind == "stage_finished":
                stage = None
            elif kind == "run_failed":
                error = event.get("details", {}).get("error")
            if kind != "result":
                self.listen(event)
        code = server.code
        if code == 0 and self._is_as_planned(cell, folder):
            return "done", None
        if code == 0:
            cell.error = (
                "the recipe was changed while the ablation ran, so this is another run than "
                "planned. The same command makes a new plan."
            )
            return "failed", None
        if code == INTERRUPTED or stopping.asked:
            return "interrupted", stage
        cell.error = error or _why(code, server.ended, log, begin)
        return "failed", stage

    def _is_as_planned(self, cell: CellRecord, folder: Path) -> bool:
        manifest = _manifest(folder)
        return manifest is not None and _same_recipe(manifest, self.planned[cell.run].recipe)


def _ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    cause = ", as systems do when memory runs out" if name == "SIGKILL" else ""
    return f"was killed by {name}{cause}"


def _manifest(folder: Path) -> Mapping[str, Any] | None:
    try:
        return read_manifest(folder / "run.json")
    except (OSError, ValueError):
        return None


def _same_recipe(manifest: Mapping[str, Any], recipe: Recipe) -> bool:
    return bool(manifest["recipe"] == json.loads(json.dumps(recipe.resolved())))


def _why(code: int | None, ended: int | None, log: Path, begin: int) -> str:
    """Why a run ended that could not say so itself: what it wrote last, or what killed it."""
    if code is None:
        return f"the process that starts runs {_ended(ended)}. What the run said is in {log}."
    if code < 0:
        return f"it {_ended(code)}. What it said is in {log}."
    text = log.read_bytes()[begin:].decode("utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-_LAST_LINES:]) or f"it {_ended(code)} and said nothing"
