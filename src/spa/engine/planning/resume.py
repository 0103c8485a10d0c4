"""What ``--resume`` asks for: to go on and redo nothing, or to begin anew beside what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spa.engine.changes import recipe_changes, told
from spa.engine.files import disk_errors
from spa.engine.manifest import read_manifest
from spa.engine.pipeline import default_run_name
from spa.engine.places import STORE
from spa.engine.planning.plan import plan_run
from spa.engine.planning.values import StagePlan
from spa.errors import UsageError
from spa.recipe import Recipe

__all__ = ["begin_anew", "refuse_to_redo"]


def refuse_to_redo(recipe: Recipe, runs: Path, name: str | None = None) -> None:
    """Makes sure that there is a run to go on with, and that nothing of it would be done again.

    Args:
        recipe: What is to be run.
        runs: Folder of runs.
        name: Name of the run; made from the recipe if None.

    Raises:
        UsageError: If there is no such run, if it is of another recipe, or if a stage that it has
            finished would be done anew; with what differs.
        SpaError: If the run cannot be planned.
    """
    folder = runs / (name or default_run_name(recipe))
    try:
        manifest = read_manifest(folder / "run.json")
    except (OSError, ValueError):
        raise UsageError(
            f"--resume always: there is nothing to go on with: {folder} holds no run. Check --name "
            "and --runs-dir, or leave --resume out to begin."
        ) from None
    different = recipe_changes(manifest["recipe"], recipe)
    if different:
        raise UsageError(
            f"--resume always: {folder} holds a run of another recipe "
            f"({manifest['recipe_file']}):\n{told(different)}\n"
            "Undo these changes, or leave --resume out and choose another --name."
        )
    plan = plan_run(recipe, runs, name)
    lost = list(_redone(manifest, plan.stages, recipe.iterations > 1))
    if lost:
        raise UsageError(
            f"--resume always: {folder} had finished stages that would be done anew:\n"
            + "\n".join(lost)
            + "\nUndo what changed, or leave --resume out to do them anew; what is in the store "
            "stays there."
        )


def begin_anew(recipe: Recipe, runs: Path, name: str | None = None) -> str:
    """Makes a folder for a run that takes nothing from what is there, and touches nothing of it.

    The folder has a store of its own, so that a run of its name goes on with that one alone.

    Args:
        recipe: What is to be run.
        runs: Folder of runs.
        name: Name of the run; made from the recipe if None.

    Returns:
        The name of the run, with ``-2``, ``-3``, ... where there is such a folder already.

    Raises:
        RunError: If the folder cannot be made.
    """
    wanted = name or default_run_name(recipe)
    number = 1
    while True:
        found = wanted if number == 1 else f"{wanted}-{number}"
        folder = runs / found
        with disk_errors(folder):
            runs.mkdir(parents=True, exist_ok=True)
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
                continue
            (folder / STORE).mkdir()
        return found


def _redone(
    manifest: Mapping[str, Any], stages: tuple[StagePlan, ...], several: bool
) -> Iterator[str]:
    """A line for each stage of the manifest that is not in the store under the key of now."""
    planned = {(each.round, each.title): each for each in stages}
    for record in manifest.get("stages") or ():
        title = f"{record['round']}/{record['name']}" if several else record["name"]
        stage = planned.get((record["round"], title))
        if stage is None or stage.is_done:
            continue
        if stage.waits_for:
            yield f"  {title}: waits for {stage.waits_for}"
        elif stage.key == record["key"] and stage.like != stage.folder:
            yield f"  {title}: {record['folder']} is gone from the store"
        else:
            yield "\n".join([f"  {title}:", *(f"    {change}" for change in stage.changed)])
