"""What ``spa retry`` finds in a run: the rows that failed, and the recipe to try them with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from spa.engine.changes import recipe_changes, told
from spa.engine.failing import LASTING, counted, worth_retrying
from spa.engine.stored_run import StoredRun
from spa.errors import RunError, UsageError
from spa.recipe import Recipe
from spa.recipe.restoring import restore_recipe

__all__ = ["FailedRows", "failed_rows", "lasting_advice", "reasons_of", "recipe_of", "refuse_unfit"]


@dataclass(frozen=True, slots=True)
class FailedRows:
    """The rows of a stage that failed.

    Attributes:
        stage: Its title.
        number: Its round.
        reasons: Reason to number of rows.
    """

    stage: str
    number: int
    reasons: Mapping[str, int]


def failed_rows(run: StoredRun) -> list[FailedRows]:
    """The stages of a run in which rows failed, those that are one stage named once."""
    return list(_failed_rows(run.manifest))


def _failed_rows(manifest: Mapping[str, object]) -> Iterator[FailedRows]:
    seen: set[str] = set()
    stages = manifest.get("stages")
    for record in stages if isinstance(stages, list) else ():
        # What training drops are pairs, and they are dropped again at every try.
        if record["failed"] and record["name"] != "train" and record["key"] not in seen:
            seen.add(record["key"])
            yield FailedRows(record["name"], record["round"], record["failure_reasons"])


def reasons_of(failed: Collection[FailedRows]) -> Counter[str]:
    """Reason to number of rows, over all stages."""
    total: Counter[str] = Counter()
    for each in failed:
        total.update(each.reasons)
    return total


def refuse_unfit(run: StoredRun, reasons: Collection[str]) -> Counter[str]:
    """Makes sure that a run can be tried again, and says what would be.

    Args:
        run: The run.
        reasons: The reasons that were named; none: those that may pass.

    Returns:
        Reason to number of rows that are tried again; empty where another try changes nothing.

    Raises:
        UsageError: If no row of the run failed for a reason that was named.
        RunError: If the run is not finished, and goes on with ``spa run``.
    """
    status = run.manifest.get("status")
    found = reasons_of(failed_rows(run))
    unknown = sorted(set(reasons) - set(found))
    if unknown:
        there = f"it has {counted(found)}" if found else "no row of it failed"
        raise UsageError(f"{run.folder}: no row failed for the reason {unknown[0]!r}: {there}.")
    if status in ("running", "interrupted") or (status == "failed" and not found):
        recipe = run.manifest.get("recipe_file")
        raise RunError(
            f"{run.folder} is not finished (its run.json says {status}). First go on with it by "
            "the command that started it, which tries failed rows of the stage under way again: "
            f"spa run {recipe} ..."
        )
    return Counter(
        {
            reason: count
            for reason, count in found.items()
            if (reason in reasons if reasons else worth_retrying(reason))
        }
    )


def lasting_advice(found: Mapping[str, int]) -> list[str]:
    """What to do about rows for which another try changes nothing: a line a reason."""
    return [
        f"{count:,} {reason}: {LASTING[reason]}"
        for reason, count in sorted(found.items(), key=lambda item: (-item[1], item[0]))
        if reason in LASTING
    ]


def recipe_of(run: StoredRun) -> Recipe:
    """The recipe of a run, as its manifest has it.

    Raises:
        RecipeError: If it cannot be read with the components that are installed.
        RunError: If these read it in another way than when the run was made.
    """
    manifest = run.manifest
    shown, source = str(run.folder / "run.json"), str(manifest.get("recipe_file"))
    recipe = restore_recipe(run.recipe, shown, source)
    different = recipe_changes(run.recipe, recipe)
    if different:
        raise RunError(
            f"{run.folder}: the components that are installed read its recipe in another way than "
            f"when the run was made, so its rows are others now:\n{told(different)}\n"
            "Install the versions that run.json names, or make a new run: "
            f"spa run {source}"
        )
    return recipe
