"""``spa validate``: checks recipes without loading a model, and says what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spa.cli.options import Sets, Swaps

if TYPE_CHECKING:
    from spa.errors import Problem, RecipeError
    from spa.recipe import Recipe

__all__ = ["validate"]


def validate(
    context: typer.Context,
    recipes: Annotated[list[Path], typer.Argument(help="Recipe files.", metavar="RECIPE")],
    sets: Sets = None,
    swaps: Swaps = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list on stdout, a record a recipe.")
    ] = False,
) -> None:
    """Check a recipe without running it.

    Every mistake is reported, with its place. Files of models and prompts must be there, and every
    row of the prompts must be right. No model is loaded, and no name of a hub is looked up.
    """
    from spa.cli.again import command_line
    from spa.cli.console import json_text
    from spa.cli.harmless import harmless
    from spa.engine.inputs import input_problems
    from spa.engine.kinship import kin_judges, kin_notes
    from spa.engine.policy import untrainable
    from spa.errors import RecipeError
    from spa.recipe import load_recipe

    sets, swaps = sets or [], swaps or []
    records: list[dict[str, Any]] = []
    failed: list[Path] = []
    told: set[Problem] = set()
    for path in recipes:
        try:
            recipe = load_recipe(path, sets=sets, swaps=swaps)
            problem = untrainable(recipe)
            if found := [*([problem] if problem else []), *input_problems(recipe)]:
                raise RecipeError(found)
        except RecipeError as error:
            failed.append(path)
            records.append(_refused(path, error))
            if not as_json:
                typer.echo(harmless(_new_problems(path, error, told)), err=True)
        else:
            notes = kin_notes(kin_judges(recipe))
            records.append(
                {"recipe": str(path), "ok": True, "notes": notes, "resolved": recipe.resolved()}
            )
            if not as_json:
                typer.echo(harmless(f"ok  {path}  {_summary(recipe)}"))
                for note in notes:
                    typer.echo(harmless(f"Note: {note}"))
    if as_json:
        typer.echo(json_text(records, indent=2))
    elif failed:
        count = len(told)
        mistakes = "1 problem" if count == 1 else f"{count} problems"
        again = command_line(context, "validate", failed, sets, swaps)
        said = f"{mistakes}. Nothing was run. Once mended, check again with: {again}"
        typer.echo(harmless(said), err=True)
    else:
        again = command_line(context, "run", recipes[:1], sets, swaps)
        typer.echo(harmless(f"Next: {again}"))
    if failed:
        raise typer.Exit(2)


def _new_problems(path: Path, error: RecipeError, told: set[Problem]) -> str:
    """The problems that were not told of before, which come from a recipe that others extend."""
    new = [each for each in error.problems if each not in told]
    told.update(new)
    lines = [str(each) for each in new]
    if again := len(error.problems) - len(new):
        problems = "a problem that is" if again == 1 else f"{again} problems that are"
        lines.append(f"{path}: {problems} told above")
    return "\n".join(lines)


def _refused(path: Path, error: RecipeError) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "recipe": str(path),
        "ok": False,
        "problems": [asdict(problem) for problem in error.problems],
    }


def _summary(recipe: Recipe) -> str:
    """The recipe in one line."""
    order = " > ".join(objective.name for objective in recipe.objectives)
    denoise = "+".join(spec.name for spec in recipe.denoise) or "none"
    rounds = "1 iteration" if recipe.iterations == 1 else f"{recipe.iterations} iterations"
    return (
        f"{recipe.name}: {order}; model {recipe.model.name}, judge {recipe.judge.name}, "
        f"denoise {denoise}, loss {recipe.loss.name}, {rounds}"
    )
