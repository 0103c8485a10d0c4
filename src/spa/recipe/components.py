"""Component sections: finds the component that ``use`` names and validates its config.

Only registered names are taken. A recipe of a stranger can so never name code to be imported that
is not installed as a plugin here.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from spa.errors import PluginError, Problem
from spa.plugins.catalogue import Catalogue
from spa.plugins.kinds import KINDS, Kind
from spa.recipe.checking import Steps, check
from spa.recipe.model import ComponentSpec
from spa.recipe.tree import Mapping, Node, Place, Scalar, describe, dotted, plain

__all__ = ["find_component"]

_NO_BACKEND = (
    "only 'judge' takes a backend of its own: samples and refinements come from the policy, which "
    "the section 'model' names"
)


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
    kind = KINDS[kind_name]
    if not isinstance(node, Mapping):
        return None, [_not_a_section(kind, node, path, catalogue)]
    name, found = _name(kind, node, path, catalogue)
    if name is None:
        return None, found
    use = node.entries["use"].node
    try:
        registered = catalogue.resolve(kind.name, name)
        model = registered.load_config_class()
    except PluginError as error:
        return None, [_problem(use.place, str(error), path, "use")]
    refused: list[Problem] = []
    taken = ["use", *engine_keys]
    if kind.name in ("generator", "refiner") and "backend" not in model.model_fields:
        entry = node.entries.get("backend")
        if entry is not None:
            refused.append(_problem(entry.place, _NO_BACKEND, path, "backend"))
            taken.append("backend")
    config: BaseModel | None
    config, found = check(model, node.without(taken), path, registered.label, engine_keys)
    if config is None or refused:
        return None, [*refused, *found]
    return ComponentSpec(kind.name, name, registered, config), found


def _name(
    kind: Kind, node: Mapping, path: Steps, catalogue: Catalogue
) -> tuple[str | None, list[Problem]]:
    use = node.get("use")
    if use is None:
        message = f"this key is missing: it names {kind.article}. {_available(kind, catalogue)}"
        return None, [_problem(node.place, message, path, "use")]
    if not isinstance(use, Scalar) or not isinstance(use.value, str):
        message = f"expected the name of {kind.article}, got {describe(plain(use))}"
        return None, [_problem(use.place, message, path, "use")]
    if ":" in use.value or "." in use.value.rpartition("/")[2]:
        message = (
            f"{use.value!r} is not a component's name. Recipes take registered names only, no "
            f"import paths. {_available(kind, catalogue)}"
        )
        return None, [_problem(use.place, message, path, "use")]
    return use.value, []


def _not_a_section(kind: Kind, node: Node, path: Steps, catalogue: Catalogue) -> Problem:
    message = f"expected a mapping with the key 'use', got {describe(plain(node))}"
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
        message += f". Write: {{use: {node.value}}}"
    else:
        message += f". {_available(kind, catalogue)}"
    return _problem(node.place, message, path)


def _available(kind: Kind, catalogue: Catalogue) -> str:
    names = ", ".join(catalogue.names(kind.name)) or "none"
    return f"Installed: {names}"


def _problem(place: Place, message: str, path: Steps, *more: str) -> Problem:
    return place.problem(message, dotted(*path, *more))
