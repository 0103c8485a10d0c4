"""The run that a command was given: by its folder, or by its name alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from spa.ablation.record import FILE as ABLATION
from spa.errors import UsageError

if TYPE_CHECKING:
    from spa.engine.stored_run import StoredRun

__all__ = ["chosen_run", "run_folder"]

_SHOWN = 5
_FILES = ("run.json", ABLATION)


def run_folder(given: Path) -> Path:
    """The folder of a run or of an ablation.

    Args:
        given: That folder; or its name, if it lies in ``runs`` or where ``SPA_RUNS`` says.
    """
    here = any((given / file).is_file() for file in _FILES)
    named = _runs() / given
    there = len(given.parts) == 1 and any((named / file).is_file() for file in _FILES)
    return named if there and not here else given


def _runs() -> Path:
    return Path(os.environ.get("SPA_RUNS") or "runs")


def _there() -> str:
    """The latest runs in the folder of runs."""
    found = [file.parent for file in _runs().glob("*/run.json")]
    if not found:
        return f"There is no run in {_runs()}; runs elsewhere are given by their folders."
    found.sort(key=lambda folder: (-(folder / "run.json").stat().st_mtime, folder.name))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"In {_runs()} are: {', '.join(each.name for each in found[:_SHOWN])}{more}."


def chosen_run(given: Path) -> StoredRun:
    """Opens the run that a command was given.

    Args:
        given: As `run_folder` takes it.

    Raises:
        UsageError: If it is no run; of an ablation it names the runs.
        SpaError: If the manifest cannot be read.
    """
    from spa.ablation.record import read_record
    from spa.engine.stored_run import open_run

    folder = run_folder(given)
    if not any((folder / file).is_file() for file in _FILES):
        raise UsageError(f"{given} is no run: it is neither its folder nor its name. {_there()}")
    if not (folder / "run.json").is_file() and (record := read_record(folder)) is not None:
        names = [str(folder.parent / cell.run) for cell in record.cells[:_SHOWN]]
        more = f" and {len(record.cells) - _SHOWN} more" if len(record.cells) > _SHOWN else ""
        raise UsageError(
            f"{folder} is an ablation, not a run. Name one of its runs: {', '.join(names)}{more}."
        )
    return open_run(folder)
