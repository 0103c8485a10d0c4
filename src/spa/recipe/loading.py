"""Loads a recipe: reads it with what it extends, applies overrides, validates it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from spa.errors import Problem, RecipeError
from spa.plugins.catalogue import Catalogue, load_catalogue
from spa.recipe.merging import read_chain
from spa.recipe.model import Recipe
from spa.recipe.overrides import override
from spa.recipe.validation import validate

__all__ = ["load_recipe"]


def load_recipe(
    path: str | os.PathLike[str],
    *,
    sets: Sequence[str] = (),
    swaps: Sequence[str] = (),
    catalogue: Catalogue | None = None,
) -> Recipe:
    """Loads and validates a recipe. Imports no implementation of any component.

    Args:
        path: The YAML file.
        sets: Values to change, each like ``"loss.alpha=2"``.
        swaps: Components to exchange, each like ``"loss=simpo"``. They come before ``sets``.
        catalogue: The components to choose from; those installed by default.

    Raises:
        RecipeError: With everything that is wrong, in the order of the files.
    """
    source = os.fspath(path)
    read = read_chain(Path(path))
    if read.root is None:
        raise RecipeError(_in_order(read.problems, read.files))
    root, refused = override(read.root, sets, swaps)
    recipe, problems = validate(root, source, load_catalogue() if catalogue is None else catalogue)
    if read.problems or refused or recipe is None:
        known = {(each.file, each.line, each.column) for each in read.problems}
        new = [each for each in problems if (each.file, each.line, each.column) not in known]
        options = [*(f"--swap {text}" for text in swaps), *(f"--set {text}" for text in sets)]
        files = [*read.files, *options]
        raise RecipeError(_in_order([*read.problems, *refused, *new], files))
    return recipe


def _in_order(problems: Sequence[Problem], files: Sequence[str]) -> list[Problem]:
    """Puts problems in the order of files, lines and columns."""
    rank = {file: number for number, file in reversed(list(enumerate(files)))}
    return sorted(problems, key=lambda each: (rank[each.file], each.line, each.column))
