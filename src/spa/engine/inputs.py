"""Finds files that a recipe names and that are not there, or cannot be used, before anything loads.

What models and evaluators ask of each other is checked later, in `spa.engine.ahead`: that needs the
models' tokenizers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import cast

from spa.contracts import Source
from spa.engine.components import create
from spa.engine.dividing import SplitError, divide
from spa.errors import Problem, RecipeError, SpaError
from spa.fields import named_paths
from spa.models.location import path_problem
from spa.recipe import AskingSpec, ComponentSpec, Recipe

__all__ = ["input_problems", "reading_prompts", "refuse_missing"]

_READING = ("backend", "source", "evaluator")
"""Kinds of components whose paths are files or folders to be read."""


def refuse_missing(recipe: Recipe) -> None:
    """Looks whether the files are there; reads none.

    Raises:
        RecipeError: With all that are missing.
    """
    if problems := _missing(recipe):
        raise RecipeError(problems)


def input_problems(recipe: Recipe) -> list[Problem]:
    """What is missing, the rows of the prompt file that cannot be used, and a split that fails.

    Sources that read no file are not asked: they may need a network.
    """
    found = _missing(recipe)
    if _reads_file(recipe) and not any(each.path.startswith("prompts.") for each in found):
        try:
            with reading_prompts(recipe):
                _divide(recipe)
        except RecipeError as error:
            found += error.problems
    return sorted(found, key=lambda problem: (problem.line, problem.column))


def _divide(recipe: Recipe) -> None:
    """Reads all prompts and divides them as a run does."""
    section = recipe.prompts
    source = cast("Source", create(section))
    for _ in source.prompts():  # those beyond the limit, too: the file is to be right
        pass
    heldout = None if section.split is None else section.split.heldout
    for _ in divide(lambda: islice(source.prompts(), section.limit), heldout, recipe.seed):
        break


@contextmanager
def reading_prompts(recipe: Recipe) -> Iterator[None]:
    """Turns an error of the prompts into one that names the recipe's file, line and key.

    Raises:
        RecipeError: For an error of a source that reads a file, and for prompts of any source that
            cannot be split.
    """
    try:
        yield
    except SplitError as error:
        raise RecipeError([recipe.problem(error.key, str(error))]) from error
    except SpaError as error:
        if type(error) is not SpaError or not _reads_file(recipe):
            raise
        raise RecipeError([recipe.problem("prompts", str(error))]) from error


def _reads_file(recipe: Recipe) -> bool:
    return any(True for _ in named_paths(recipe.prompts.config))


def _missing(recipe: Recipe) -> list[Problem]:
    """Models, adapters and files of prompts that are not there; names of the hub count as there."""
    found = []
    for path, section in _placed(recipe):
        for named in named_paths(section.config):
            message = None
            if named.is_model:
                message = path_problem(named.value)
            elif section.kind in _READING and not Path(named.value).exists():
                message = (
                    f"{named.value} does not exist. Paths in a recipe are relative to the recipe "
                    "file: correct this one, or put the file there."
                )
            if message is not None:
                found.append(recipe.problem(f"{path}.{named.key}", message))
    return found


def _placed(recipe: Recipe) -> Iterator[tuple[str, ComponentSpec]]:
    """Every component with its place, each backend where it is written."""
    sections: list[tuple[str, ComponentSpec]] = [
        ("model", recipe.model),
        ("prompts", recipe.prompts),
        ("generate", recipe.generate),
        ("judge", recipe.judge),
    ]
    sections += [(f"judge.members.{n}", each) for n, each in enumerate(recipe.judge.members)]
    if recipe.refine is not None:
        sections.append(("refine", recipe.refine))
    sections += [(f"denoise.{n}", each) for n, each in enumerate(recipe.denoise)]
    sections += [("pairs", recipe.pairs), ("loss", recipe.loss)]
    sections += [(f"evaluate.{n}", each) for n, each in enumerate(recipe.evaluate)]
    for path, section in sections:
        yield path, section
        if isinstance(section, AskingSpec) and section.backend is not None:
            yield f"{path}.backend", section.backend
