"""Removes what no kept run uses. Whatever is not known for sure is kept.

A run keeps its stages, its raw answers, its reference log-probabilities, its trained weights and
checkpoints, and what it had begun when it was stopped. Every run is kept that is not named.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spa.engine.files import disk_errors
from spa.engine.lock import writer_lock
from spa.errors import RunError, UsageError
from spa.storage.inventory import Inventory, StoredFolder, folder_size, take_inventory
from spa.storage.layout import REMOVING
from spa.storage.users import RunUses, find_runs

__all__ = ["PrunePlan", "Pruned", "plan_prune", "prune"]


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What would be removed.

    Attributes:
        inventory: What is there.
        dropped: Runs that are removed, with what only they use.
        folders: Folders of the store that are removed.
        kept: Folders that no kept run uses and that stay all the same, each with the reason.
        bytes: Of all that is removed.
    """

    inventory: Inventory
    dropped: Sequence[RunUses]
    folders: Sequence[StoredFolder]
    kept: Sequence[tuple[StoredFolder, str]]
    bytes: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed.

    Attributes:
        folders: Names of folders of the store.
        bytes: What they held.
        kept: Folders that were to go, but stayed, each with the reason.
    """

    folders: Sequence[str]
    bytes: int
    kept: Sequence[tuple[str, str]]


def plan_prune(runs: Path, drop: Collection[str] = (), *, judge_checks: bool = False) -> PrunePlan:
    """Finds what no kept run uses; removes nothing.

    Args:
        runs: The folder of runs.
        drop: Names of runs that are not kept.
        judge_checks: Whether what judge checks made goes as well, where no run uses it.

    Raises:
        RunError: If it is not known what a kept run uses, or a run to drop is under way.
        UsageError: If there is no such run.
    """
    inventory = take_inventory(runs)
    dropped = [_named(inventory.runs, name) for name in dict.fromkeys(drop)]
    for run in dropped:
        if run.folder == runs:
            raise UsageError(
                f"{runs} is the run itself. Give up a run from the folder that it lies in: "
                f"--runs-dir {runs.absolute().parent} --drop {run.name}"
            )
        if run.writer is not None:
            raise RunError(f"{run.folder} is being carried out by {run.writer}. Stop it first.")
    kept_runs = [run for run in inventory.runs if run not in dropped]
    _refuse_unknown(kept_runs)
    going: list[StoredFolder] = []
    staying: list[tuple[StoredFolder, str]] = []
    for folder in inventory.folders:
        if folder.kind != "unknown" and any(run.uses(folder.name) for run in kept_runs):
            continue
        reason = _reason_to_stay(folder, judge_checks=judge_checks)
        if reason is None:
            going.append(folder)
        else:
            staying.append((folder, reason))
    total = sum(each.bytes for each in going) + sum(folder_size(run.folder)[0] for run in dropped)
    return PrunePlan(inventory, dropped, going, staying, total)


def prune(plan: PrunePlan) -> Pruned:
    """Removes what a plan says, but for what is used by now.

    Every folder is locked and renamed, and then looked for once more among what runs use. A run
    notes what it uses before it looks into it: one that notes it later finds nothing there.

    Raises:
        RunError: If something cannot be removed, or runs cannot be read any more.
    """
    runs = plan.inventory.store.parent
    gone: list[str] = []
    freed = 0
    kept: list[tuple[str, str]] = []
    for run in plan.dropped:
        size = folder_size(run.folder)[0]
        _remove(run.folder)
        freed += size
    for folder in plan.folders:
        path = plan.inventory.store / folder.name
        if folder.kind == "set aside":
            _delete(path)
        else:
            users = find_runs(runs)
            _refuse_unknown(users)
            if any(run.uses(folder.name) for run in users):
                kept.append((folder.name, "a run has begun to use it"))
                continue
            try:
                removed = _remove(path, partial(_may_be_used, runs, folder.name))
            except RunError as error:
                kept.append((folder.name, str(error)))
                continue
            if not removed:
                kept.append((folder.name, "a run has begun to use it"))
                continue
        gone.append(folder.name)
        freed += folder.bytes
    return Pruned(gone, freed, kept)


def _named(runs: Sequence[RunUses], name: str) -> RunUses:
    """The run of a name, or of the path of its folder."""
    for run in runs:
        if name.rstrip("/") == run.name or Path(name).resolve() == run.folder.resolve():
            return run
    known = ", ".join(run.name for run in runs) or "none"
    raise UsageError(f"no run is called {name!r}. Runs: {known}.")


def _refuse_unknown(runs: Sequence[RunUses]) -> None:
    for run in runs:
        if run.problem is not None:
            raise RunError(
                f"{run.folder}: {run.problem}. So it is not known what this run uses, and nothing "
                f"is removed. Run its recipe again, mend it, or give it up with --drop {run.name}"
            )


def _reason_to_stay(folder: StoredFolder, *, judge_checks: bool) -> str | None:
    if folder.kind == "unknown":
        return "not spa's"
    if folder.writer is not None:
        return f"being written by {folder.writer}"
    if folder.kind == "judge check" and not judge_checks:
        return "of a judge check; --judge-checks removes it as well"
    return None


def _may_be_used(runs: Path, folder: str) -> bool:
    return any(run.problem is not None or run.uses(folder) for run in find_runs(runs))


def _remove(path: Path, needed: Callable[[], bool] = lambda: False) -> bool:
    """Renames a folder, so that nobody finds half of it, and deletes it.

    Args:
        path: The folder.
        needed: Asked once it has another name, while its lock is held: whether it has to stay.

    Returns:
        Whether it is gone; False where it has its old name back.

    Raises:
        RunError: If somebody is writing there, or it cannot be removed.
    """
    aside = path.with_name(f"{REMOVING}{path.name}.{os.getpid()}")
    with writer_lock(path), disk_errors(path):
        path.rename(aside)
        try:
            stays = needed()
        except BaseException:
            aside.rename(path)
            raise
        if stays and not path.exists():  # else who needs it is making it anew
            aside.rename(path)
            return False
    _delete(aside)
    return True


def _delete(path: Path) -> None:
    with disk_errors(path):
        shutil.rmtree(path)
