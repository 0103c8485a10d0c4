"""The finished runs of an ablation as the settings of a comparison."""

from __future__ import annotations

from pathlib import Path

from spa.ablation.record import AblationRecord
from spa.comparison.figures import Setting
from spa.engine.stored_run import StoredRun, open_run
from spa.errors import UsageError

__all__ = ["finished_settings"]


def finished_settings(
    record: AblationRecord, runs: Path, *, pool: bool = True
) -> tuple[list[Setting], list[str]]:
    """The settings of an ablation, the baseline first, and the runs that are not done.

    Args:
        record: Of the ablation.
        runs: The folder of runs.
        pool: Whether runs that differ in their seeds alone are one setting.

    Returns:
        Settings with at least one finished run, and the names of runs that are not finished.
    """
    found: dict[str, list[StoredRun]] = {}
    missing = []
    for cell in record.cells:
        run = _finished(runs / cell.run)
        if run is None:
            missing.append(cell.run)
        else:
            found.setdefault(cell.setting if pool else cell.label, []).append(run)
    return [Setting(name, tuple(own)) for name, own in found.items()], missing


def _finished(folder: Path) -> StoredRun | None:
    try:
        run = open_run(folder)
    except UsageError:  # it was not started
        return None
    return run if run.manifest.get("status") == "done" else None
