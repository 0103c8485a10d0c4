"""Objectives: checked against each other, and given their definitions.

An objective without a definition gets the constitution of its name that ships with spa.
"""

from __future__ import annotations

from collections.abc import Sequence

from spa.data import constitution_names, load_constitution
from spa.errors import Problem
from spa.recipe.sections import ObjectiveConfig
from spa.recipe.tree import Listing, Mapping, Scalar, dotted, plain
from spa.types import Objective

__all__ = ["check_objectives", "resolve_objectives"]


def check_objectives(root: Mapping) -> list[Problem]:
    """Finds names used twice and definitions that are missing, in the recipe as written."""
    problems: list[Problem] = []
    first: dict[str, int] = {}
    listed = root.get("objectives")
    for index, item in enumerate(listed.items if isinstance(listed, Listing) else ()):
        name = item.get("name") if isinstance(item, Mapping) else None
        if not isinstance(item, Mapping) or not isinstance(name, Scalar):
            continue
        if not isinstance(name.value, str):
            continue
        if name.value in first:
            message = f"objective {first[name.value]} has the name {name.value!r} already"
            problems.append(name.place.problem(message, dotted("objectives", index, "name")))
        first.setdefault(name.value, index)
        definition = item.get("definition") or Scalar(None, name.place)
        if plain(definition) is None and name.value not in constitution_names():
            shipped = ", ".join(constitution_names()) or "none"
            message = (
                f"this key is missing, and no constitution {name.value!r} ships with spa (those "
                f"that do: {shipped}). Write what the judge is to score"
            )
            path = dotted("objectives", index, "definition")
            problems.append(definition.place.problem(message, path))
    return problems


def resolve_objectives(configs: Sequence[ObjectiveConfig]) -> tuple[Objective, ...]:
    """The objectives with their definitions.

    Raises:
        SpaError: If a definition is missing and none ships with spa.
    """
    return tuple(
        Objective(
            each.name,
            load_constitution(each.name) if each.definition is None else each.definition,
            each.threshold,
        )
        for each in configs
    )
