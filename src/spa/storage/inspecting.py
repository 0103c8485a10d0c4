"""Verifies a whole store, or what some runs use of it, and finds what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spa.engine.stored_run import open_run
from spa.errors import UsageError
from spa.storage.inventory import take_inventory
from spa.storage.users import RunUses, run_uses
from spa.storage.verifying import Check, verify_folder

__all__ = ["Inspection", "Missing", "inspect"]


@dataclass(frozen=True, slots=True)
class Missing:
    """A folder that a finished run made and that is gone.

    Attributes:
        run: Name of the run.
        folder: Name of the folder.
    """

    run: str
    folder: str

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.folder} is gone, which run {self.run} made. Put it back, or run the recipe "
            "again to make it anew"
        )


@dataclass(frozen=True, slots=True)
class Inspection:
    """What came of it.

    Attributes:
        checks: A record a folder.
        missing: Folders that are gone.
    """

    checks: Sequence[Check]
    missing: Sequence[Missing]

    def counts(self) -> dict[str, int]:
        """How many folders have which verdict, and how many are missing."""
        found: dict[str, int] = {}
        for check in self.checks:
            found[check.verdict] = found.get(check.verdict, 0) + 1
        return {**found, **({"missing": len(self.missing)} if self.missing else {})}


def inspect(runs: Path, only: Sequence[Path] = ()) -> Inspection:
    """Reads everything; changes nothing.

    Args:
        runs: The folder of runs.
        only: Folders of runs, wherever they lie; none: the whole store, and stores of runs' own.

    Raises:
        UsageError: If there is no such folder.
    """
    if only:
        checks: dict[Path, Check] = {}
        missing: list[Missing] = []
        for folder in only:
            stored = open_run(folder)
            used = run_uses(stored.folder.resolve(), stored.store, stored.store.parent)
            if used.status == "unreadable":
                raise UsageError(f"{folder} {used.problem}")
            for name in sorted(used.folders):
                path = stored.store / name
                if path.is_dir():
                    checks[path] = verify_folder(path)
            missing += _missing(used, stored.store)
        return Inspection(list(checks.values()), missing)
    inventory = take_inventory(runs)
    every = [inventory, *(take_inventory(store.parent) for store in inventory.other_stores)]
    return Inspection(
        [
            verify_folder(each.store / folder.name)
            for each in every
            for folder in each.folders
            if folder.kind not in ("unknown", "set aside")
        ],
        [gone for each in every for run in each.runs for gone in _missing(run, each.store)],
    )


def _missing(run: RunUses, store: Path) -> list[Missing]:
    gone = [name for name in sorted(run.committed) if not (store / name).is_dir()]
    return [Missing(run.name, name) for name in gone]
