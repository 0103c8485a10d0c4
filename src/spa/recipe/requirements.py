"""``requires``: the distributions that a recipe says it needs."""

from __future__ import annotations

from spa.errors import Problem
from spa.plugins.catalogue import Catalogue
from spa.plugins.provenance import unmet_requirement
from spa.recipe.tree import Listing, Mapping, Scalar, dotted

__all__ = ["check_requirements"]


def check_requirements(root: Mapping, catalogue: Catalogue) -> list[Problem]:
    """Finds requirements that are not met, in the recipe as written."""
    problems: list[Problem] = []
    listed = root.get("requires")
    for index, item in enumerate(listed.items if isinstance(listed, Listing) else ()):
        if isinstance(item, Scalar) and isinstance(item.value, str):
            message = unmet_requirement(item.value, catalogue)
            if message is not None:
                problems.append(item.place.problem(message, dotted("requires", index)))
    return problems
