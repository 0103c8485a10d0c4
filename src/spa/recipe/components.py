"""Component sections: finds the component that ``use`` names and validates its config.

Only registered names are taken. A recipe of a stranger can so never name code to be imported that
is not installed as a plugin here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel

from spa.errors import PluginError, Problem
from spa.plugins.catalogue import Catalogue, Registered
from spa.plugins.kinds import KINDS, Kind
from spa.recipe.checking import Steps, check
from spa.recipe.model import ComponentSpec, takes
from spa.recipe.tree import Mapping, Node, Place, Scalar, describe, dotted, plain

__all__ = ["Found", "find_component", "look_up", "problem", "validated"]


class Found(NamedTuple):
    """A component and the class of its config."""

    name: str
    registered: Registered
    config: type[BaseModel]


def find_component(
    kind_name: str,
    node: Node,
    path: Steps,
    catalogue: Catalogue,
    engine_keys: Sequence[str] = (),
) -> tuple[ComponentSpec | None, list[Problem]]:
    """Resolves and validates one component section.

    Args:
        kind_name: The kind of component that the section takes.
        node: The section as written.
        path: Where it stands in the recipe.
        catalogue: The components that are installed.
        engine_keys: Keys of the section that are not the component's.

    Returns:
        The component, None where there are mistakes, and the mistakes.
    """
    component, problems = look_up(kind_name, node, path, catalogue)
    if component is None or not isinstance(node, Mapping):
        return None, problems
    return validated(component, node, path, engine_keys)


def look_up(
    kind_name: str, node: Node, path: Steps, catalogue: Catalogue
) -> tuple[Found | None, list[Problem]]:
    """The component that a section names, None where that is a mistake, and the mistake."""
    kind = KINDS[kind_name]
    if not isinstance(node, Mapping):
        return None, [_not_a_section(kind, node, path, catalogue)]
    name, found = _name(kind, node, path, catalogue)
    if name is None:
        return None, found
    try:
        registered = catalogue.resolve(kind.name, name)
        return Found(name, registered, registered.load_config_class()), []
    except PluginError as error:
        return None, [problem(node.entries["use"].node.place, str(error), path, "use")]


def validated(
    component: Found, node: Mapping, path: Steps, engine_keys: Sequence[str]
) -> tuple[ComponentSpec | None, list[Problem]]:
    """The section of a component that was found, its own keys checked by its config."""
    own = [key for key in engine_keys if not takes(component.config, key)]
    label = component.registered.label
    config, found = check(component.config, node.without(["use", *own]), path, label, own)
    if config is None:
        return None, found
    registered = component.registered
    return ComponentSpec(registered.kind, component.name, registered, config), found


def _name(
    kind: Kind, node: Mapping, path: Steps, catalogue: Catalogue
) -> tuple[str | None, list[Problem]]:
    use = node.get("use")
    if use is None:
        message = f"this key is missing: it names {kind.article}. {_available(kind, catalogue)}"
        return None, [problem(node.place, message, path, "use")]
    if not isinstance(use, Scalar) or not isinstance(use.value, str):
        message = f"expected the name of {kind.article}, got {describe(plain(use))}"
        return None, [problem(use.place, message, path, "use")]
    if ":" in use.value or "." in use.value.rpartition("/")[2]:
        message = (
            f"{use.value!r} is not a component's name. Recipes take registered names only, no "
            f"import paths. {_available(kind, catalogue)}"
        )
        return None, [problem(use.place, message, path, "use")]
    return use.value, []


def _not_a_section(kind: Kind, node: Node, path: Steps, catalogue: Catalogue) -> Problem:
    message = f"expected a mapping with the key 'use', got {describe(plain(node))}"
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
        message += f". Write: {{use: {node.value}}}"
    else:
        message += f". {_available(kind, catalogue)}"
    return problem(node.place, message, path)


def _available(kind: Kind, catalogue: Catalogue) -> str:
    names = ", ".join(catalogue.names(kind.name)) or "none"
    return f"Installed: {names}"


def problem(place: Place, message: str, path: Steps, *more: str) -> Problem:
    """A problem of a section or of a key in it."""
    return place.problem(message, dotted(*path, *more))
