"""Plans a run: what of it is in the store, what changed, and what is to come."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from spa.engine.collection import rare_collection
from spa.engine.context import RunContext
from spa.engine.inputs import refuse_missing
from spa.engine.interrupt import Interrupt
from spa.engine.pipeline import default_run_name, plan_stages
from spa.engine.planning.models import PlannedModels
from spa.engine.planning.planner import Planner
from spa.engine.planning.values import RunPlan
from spa.engine.policy import untrainable
from spa.errors import RecipeError
from spa.recipe import Recipe

__all__ = ["plan_run"]


def plan_run(recipe: Recipe, runs: Path, name: str | None = None) -> RunPlan:
    """Says what a run would do, stage by stage.

    No weights are loaded, no model is asked, and nothing is written.

    Args:
        recipe: What would be run.
        runs: Folder of runs and of the store that they share; it need not be there.
        name: Name of the run; made from the recipe if None.

    Raises:
        RecipeError: If a file that it names is not there, or a row of the prompts is not right.
        RunError: If the run's folder is another recipe's.
        SpaError: If a component or a model's files cannot be read.
    """
    if (problem := untrainable(recipe)) is not None:
        raise RecipeError([problem])
    refuse_missing(recipe)
    with closing(PlannedModels()) as models:
        context = RunContext(
            name=name or default_run_name(recipe),
            recipe=recipe,
            runs=runs,
            models=models,
            interrupt=Interrupt(),
            listen=lambda _: None,
        )
        planner = context.planner = Planner(context.store, models)
        with rare_collection():
            plan_stages(context)
    return RunPlan(context.name, tuple(planner.stages), _free(runs))


def _free(folder: Path) -> int | None:
    """Room on the disk of a folder, or of what will hold it."""
    place = folder.absolute()
    for each in (place, *place.parents):
        try:
            return shutil.disk_usage(each).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
