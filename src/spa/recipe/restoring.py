"""Makes a recipe again from what a manifest says of it: the way back from `Recipe.resolved`."""

from __future__ import annotations

from collections.abc import Mapping as Values

from spa.errors import RecipeError
from spa.plugins.catalogue import Catalogue, load_catalogue
from spa.recipe.model import Recipe
from spa.recipe.tree import Entry, Listing, Mapping, Node, Place, Scalar
from spa.recipe.validation import validate
from spa.types import JsonValue

__all__ = ["restore_recipe"]


def restore_recipe(
    values: Values[str, JsonValue], shown: str, source: str, catalogue: Catalogue | None = None
) -> Recipe:
    """Validates a resolved recipe. Imports no implementation of any component.

    Args:
        values: What `Recipe.resolved` gave, as a manifest keeps it.
        shown: Where it was found, for messages.
        source: The file that it once came from.
        catalogue: The components to choose from; those installed by default.

    Raises:
        RecipeError: With everything that is wrong, such as a plugin that is gone.
    """
    place = Place(shown)
    root = Mapping({key: Entry(place, _node(each, place)) for key, each in values.items()}, place)
    recipe, problems = validate(root, source, load_catalogue() if catalogue is None else catalogue)
    if recipe is None:
        raise RecipeError(problems)
    return recipe


def _node(value: JsonValue, place: Place) -> Node:
    match value:
        case dict():
            entries = {key: Entry(place, _node(each, place)) for key, each in value.items()}
            return Mapping(entries, place)
        case list():
            return Listing(tuple(_node(each, place) for each in value), place)
        case None | bool() | int() | float() | str():
            return Scalar(value, place)
        case _:
            raise TypeError(f"a recipe cannot hold {value!r}")
