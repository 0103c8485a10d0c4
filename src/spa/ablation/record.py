"""``ablation.json``: which runs an ablation has, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from spa.ablation.grid import Grid, GridCell
from spa.engine.files import write_json
from spa.errors import SpaError

__all__ = [
    "FILE",
    "AblationRecord",
    "CellRecord",
    "CellStatus",
    "read_record",
    "record_of",
    "write_record",
]

FILE = "ablation.json"
"""Name of the record in the ablation's folder."""

CellStatus = Literal["waiting", "running", "done", "failed", "skipped", "interrupted"]


@dataclass(slots=True)
class CellRecord:
    """What became of a cell.

    Attributes:
        run: Name of its run, a folder beside the ablation's.
        setting: What it stands for, seeds left out.
        seed: Its seeds, as they were set; empty if none varies.
        swaps: Options of `spa run` that make its recipe.
        sets: Likewise.
        status: ``waiting``, ``running``, ``done``, ``failed``, ``skipped`` as a stage that it
            shares failed before, or ``interrupted``.
        error: Why it failed or was skipped.
        seconds: How long it took at the last start; None if it did not run.
        recipe_file: Its recipe, as it was given; empty for the ablation's own.
    """

    run: str
    setting: str
    seed: str
    swaps: list[str]
    sets: list[str]
    status: CellStatus = "waiting"
    error: str | None = None
    seconds: float | None = None
    recipe_file: str = ""

    @property
    def label(self) -> str:
        """Setting and seed."""
        return ", ".join(filter(None, (self.setting, self.seed)))


@dataclass(slots=True)
class AblationRecord:
    """What ``ablation.json`` says.

    Attributes:
        name: Of the ablation, and of its folder.
        recipe_file: The first of its recipes, as it was given.
        command: What goes on with it.
        axes: A record a key that was set: ``option``, ``key`` and ``values``.
        notes: What was left out of the product of all values.
        cells: Its runs, the baseline first.
        status: ``running``, ``done``, ``failed`` if a run did, or ``interrupted``.
        seconds: How long the last start took so far.
        options: Further options of `spa run` for all runs.
    """

    name: str
    recipe_file: str
    command: str
    axes: list[dict[str, Any]]
    notes: list[str]
    cells: list[CellRecord]
    status: str = "running"
    seconds: float = 0.0
    options: list[str] = field(default_factory=list)

    def with_status(self, *statuses: CellStatus) -> list[CellRecord]:
        """The cells that are in one of these states."""
        return [cell for cell in self.cells if cell.status in statuses]


def record_of(grid: Grid, name: str, command: str, options: Sequence[str] = ()) -> AblationRecord:
    """The record of an ablation of which nothing has run."""
    return AblationRecord(
        name=name,
        recipe_file=grid.cells[0].recipe_file,
        command=command,
        axes=[{**asdict(axis), "values": list(axis.values)} for axis in grid.axes],
        notes=list(grid.notes),
        cells=[_cell(cell) for cell in grid.cells],
        options=list(options),
    )


def _cell(cell: GridCell) -> CellRecord:
    return CellRecord(
        run=cell.run,
        setting=cell.setting,
        seed=cell.seed,
        swaps=list(cell.swaps),
        sets=list(cell.sets),
        recipe_file=cell.recipe_file,
    )


def write_record(folder: Path, record: AblationRecord) -> None:
    """Writes the record into the ablation's folder, in one step.

    Raises:
        RunError: If the folder cannot be written.
    """
    write_json(folder / FILE, {"format": 1, "kind": "ablation", **asdict(record)})


def read_record(folder: Path) -> AblationRecord | None:
    """The record of an ablation's folder; None for any other folder.

    Raises:
        SpaError: If it cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells: Sequence[dict[str, Any]] = content["cells"]
        known = {key: content[key] for key in AblationRecord.__dataclass_fields__ if key != "cells"}
        record = AblationRecord(cells=[CellRecord(**cell) for cell in cells], **known)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpaError(
            f"{path} cannot be read: {error}. Delete it, and run the ablation again: finished "
            "runs are found again."
        ) from error
    if any(Path(cell.run).name != cell.run or cell.run in ("", ".", "..") for cell in record.cells):
        raise SpaError(f"{path} names a run that does not lie beside it.")
    return record
