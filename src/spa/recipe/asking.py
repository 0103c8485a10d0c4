"""Sections whose component may ask a model: the backend that they may name, and a judge's members.

Four sections do: ``generate``, ``judge``, ``refine`` and each item of ``evaluate``. A component
with a key ``backend`` of its own keeps it.
"""

from __future__ import annotations

from pydantic import BaseModel

from spa.errors import Problem
from spa.fields import members_key
from spa.plugins.catalogue import Catalogue
from spa.recipe.checking import Steps
from spa.recipe.components import find_component, look_up, problem, validated
from spa.recipe.layout import ASKING, BACKEND, NONE
from spa.recipe.model import AskingSpec, ComponentSpec, JudgeSpec, takes
from spa.recipe.tree import Entry, Listing, Mapping, Node, Scalar, dotted, find, plain
from spa.types import JsonValue

__all__ = ["find_asking", "find_judge", "is_none", "left_out"]

_NESTED = (
    "a judge with members cannot be a member itself. Write its members here, or name a judge that "
    "scores"
)


def is_none(node: Node | None) -> bool:
    """Whether a section that need not be there is left out: no key, null, or ``{use: none}``."""
    if isinstance(node, Mapping):
        return plain(node.get("use") or Scalar(None, node.place)) == NONE
    return node is None or (isinstance(node, Scalar) and node.value is None)


def left_out(node: Node | None, path: Steps) -> list[Problem]:
    """What is wrong with a section that `is_none`: it takes no further keys."""
    if not isinstance(node, Mapping):
        return []
    message = f"unknown key: 'use: {NONE}' takes no settings. Remove it, or name a component"
    return [
        problem(entry.place, message, path, key)
        for key, entry in node.entries.items()
        if key != "use"
    ]


def find_asking(
    kind_name: str, node: Node, path: Steps, catalogue: Catalogue
) -> tuple[AskingSpec | None, list[Problem]]:
    """Resolves a section whose component may ask a model, with the backend that it may name."""
    component, found = look_up(kind_name, node, path, catalogue)
    if component is not None and takes(component.config, BACKEND):
        spec, found = find_component(kind_name, node, path, catalogue)
        return None if spec is None else _asking(spec, None), found
    backend, problems = _backend(node, path, catalogue)
    if component is None or not isinstance(node, Mapping):
        return None, [*found, *problems]
    spec, found = validated(component, node, path, ASKING)
    made = None if spec is None or problems else _asking(spec, backend)
    return made, [*found, *problems]


def find_judge(
    node: Node, path: Steps, catalogue: Catalogue
) -> tuple[JudgeSpec | None, list[Problem]]:
    """Resolves the section of the judge, with the judges that it may have for members."""
    component, _ = look_up("judge", node, path, catalogue)
    key = None if component is None else members_key(component.config)
    listed = node.get(key) if isinstance(node, Mapping) and key is not None else None
    members: list[AskingSpec] = []
    problems: list[Problem] = []
    if isinstance(node, Mapping) and key is not None and isinstance(listed, Listing):
        members, problems = _members(listed, (*path, key), catalogue)
        counted = Listing(tuple(Mapping({}, item.place) for item in listed.items), listed.place)
        node = node.replaced(key, Entry(node.entries[key].place, counted))
    spec, found = find_asking("judge", node, path, catalogue)
    if spec is None or problems:
        return None, [*found, *problems]
    config = spec.config
    if key is not None:
        config = config.model_copy(
            update={_field(config, key): tuple(m.resolved() for m in members)}
        )
    made = JudgeSpec(
        spec.kind, spec.name, spec.registered, config, spec.backend, members=tuple(members)
    )
    return made, found


def _members(
    listed: Listing, path: Steps, catalogue: Catalogue
) -> tuple[list[AskingSpec], list[Problem]]:
    members: list[AskingSpec] = []
    problems: list[Problem] = []
    known: list[tuple[int, JsonValue]] = []
    for place, item in enumerate(listed.items):
        here = (*path, place)
        component, _ = look_up("judge", item, here, catalogue)
        if component is not None and members_key(component.config) is not None:
            use, _, _ = find(item, ("use",))
            problems.append(problem(use.place, _NESTED, here, "use"))
            continue
        spec, found = find_asking("judge", item, here, catalogue)
        problems += found
        if spec is None:
            continue
        resolved: JsonValue = spec.resolved()
        same = next((dotted(*path, other) for other, told in known if told == resolved), None)
        if same is not None:
            message = f"the same judge as {same}, which would give the same scores. Remove one"
            problems.append(problem(item.place, message, here))
        members.append(spec)
        known.append((place, resolved))
    return members, problems


def _backend(
    node: Node, path: Steps, catalogue: Catalogue
) -> tuple[ComponentSpec | None, list[Problem]]:
    """The backend that a section names, None where it names none or something is wrong."""
    below = node.get(BACKEND) if isinstance(node, Mapping) else None
    here = (*path, BACKEND)
    if below is None or is_none(below):
        return None, left_out(below, here)
    return find_component("backend", below, here, catalogue)


def _asking(spec: ComponentSpec, backend: ComponentSpec | None) -> AskingSpec:
    return AskingSpec(spec.kind, spec.name, spec.registered, spec.config, backend)


def _field(config: BaseModel, key: str) -> str:
    """The attribute behind a key."""
    fields = type(config).model_fields.items()
    return next(name for name, field in fields if (field.alias or name) == key)
