"""``--set`` and ``--swap``: changes to a recipe from the command line.

They work on the merged tree, swaps before sets, and what they write keeps the option as its place:
a mistake is then reported at ``--set loss.alpah=2`` and not at a line of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from spa.errors import Problem
from spa.recipe.layout import BACKEND, NONE, SECTIONS, TOP_KEYS, Section, section
from spa.recipe.merging import EXTENDS, merge_nodes
from spa.recipe.reading import read_text
from spa.recipe.suggestions import did_you_mean
from spa.recipe.tree import (
    Entry,
    Listing,
    Mapping,
    Node,
    Place,
    Scalar,
    describe,
    dotted,
    find,
    plain,
)

__all__ = ["override"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?\Z")


class _OverrideError(Exception):
    """An override that cannot be applied; its text says why."""


def override(
    root: Mapping, sets: Sequence[str], swaps: Sequence[str]
) -> tuple[Mapping, list[Problem]]:
    """Applies swaps, then sets, each in the order given.

    Args:
        root: The merged recipe.
        sets: Texts like ``loss.alpha=2``; the value is read as YAML.
        swaps: Texts like ``loss=simpo`` or ``denoise=consistency+informativeness``.

    Returns:
        The changed recipe, and a problem for every override that could not be applied.
    """
    problems: list[Problem] = []
    work = [("--swap", text, _swap) for text in swaps] + [("--set", text, _set) for text in sets]
    for option, text, apply in work:
        place = Place(f"{option} {text}", folder=Path.cwd())
        key, equals, value = text.partition("=")
        try:
            if not equals or not key.strip():
                example = "--set loss.alpha=2" if option == "--set" else "--swap loss=simpo"
                raise _OverrideError(f"write it as KEY=VALUE, for example: {example}")
            root = apply(root, key.strip(), value, place)
        except _OverrideError as mistake:
            problems.append(place.problem(str(mistake)))
    return root, problems


def _set(root: Mapping, key: str, text: str, place: Place) -> Mapping:
    value, problems = read_text(text, place)
    if problems or value is None:
        raise _OverrideError("; ".join(problem.message for problem in problems))
    steps = key.split(".")
    if not all(steps):
        raise _OverrideError(f"'{key}' is not a key: write the keys with one dot between them")
    if steps[0] == EXTENDS:
        raise _OverrideError(
            "'extends' belongs into the file. Write a recipe that extends the other one"
        )
    changed = _put(root, steps, value, place, ())
    if not isinstance(changed, Mapping):  # pragma: no cover - a mapping stays one
        raise TypeError("the recipe is no longer a mapping")
    return changed


def _put(
    node: Node, steps: Sequence[str], value: Node, place: Place, above: tuple[str, ...]
) -> Node:
    """The node with the value at ``steps`` below it."""
    if not steps:
        return merge_nodes(node, value) if isinstance(value, Scalar) else value
    step, rest = steps[0], steps[1:]
    here = dotted(*above)
    match node:
        case Mapping():
            old = node.get(step)
            if old is None:
                below = (
                    _put(Mapping({}, place), rest, value, place, (*above, step)) if rest else value
                )
                return node.replaced(step, Entry(place, below))
            if step == "use" and not rest and plain(old) != plain(value):
                name = value.value if isinstance(value, Scalar) else "NAME"
                raise _OverrideError(
                    "--set keeps the other keys, which belong to the old component. "
                    f"To exchange the component, type: --swap {here}={name}"
                )
            return node.replaced(step, Entry(place, _put(old, rest, value, place, (*above, step))))
        case Listing():
            valid = f"0 to {len(node.items) - 1}" if node.items else "none, it is empty"
            if not step.isdecimal() or int(step) >= len(node.items):
                raise _OverrideError(
                    f"'{here}' is a list without an item '{step}'. Its items: {valid}"
                )
            index = int(step)
            item = _put(node.items[index], rest, value, place, (*above, step))
            return Listing((*node.items[:index], item, *node.items[index + 1 :]), node.place)
        case Scalar(value=None):
            return _put(Mapping({}, place), steps, value, place, above)
        case Scalar():
            raise _OverrideError(
                f"'{here}' is the single value {describe(node.value)}: there is no '{step}' in it"
            )


def _swap(root: Mapping, key: str, text: str, place: Place) -> Mapping:
    names = [name.strip() for name in text.split("+")]
    if any(not _NAME.match(name) for name in names):
        raise _OverrideError(
            f"expected the name of a component, got {text!r}. Several for a list are joined "
            "by '+': --swap denoise=consistency+informativeness"
        )
    steps = key.split(".")
    if steps[-1] == BACKEND and _asks(steps[0]):
        return _swap_backend(root, steps, names, place)
    target = section(key)
    sections = [each.key for each in SECTIONS]
    if target is None and key in TOP_KEYS:
        raise _OverrideError(f"'{key}' names no component. Sections that do: {', '.join(sections)}")
    if target is None:
        hint = did_you_mean(key, sections, "Sections with a component")
        raise _OverrideError(f"no section '{key}'.{hint}")
    node = _listing(names, place) if target.many else _section(target, names, root.get(key), place)
    return root.replaced(key, Entry(place, node))


def _asks(key: str) -> bool:
    target = section(key)
    return target is not None and BACKEND in target.engine_keys


def _swap_backend(
    root: Mapping, steps: Sequence[str], names: Sequence[str], place: Place
) -> Mapping:
    """The backend of a section, of an item of its list or of a member exchanged."""
    above = tuple(int(step) if step.isdecimal() else step for step in steps[:-1])
    holder, _, taken = find(root, above)
    if taken != above or not isinstance(holder, Mapping):
        raise _OverrideError(f"the recipe has no section '{dotted(*above)}'")
    made = _single(dotted(*steps), names, place, required=False)
    changed = _put(root, steps, made, place, ())
    if not isinstance(changed, Mapping):  # pragma: no cover - a mapping stays one
        raise TypeError("the recipe is no longer a mapping")
    return changed


def _listing(names: Sequence[str], place: Place) -> Listing:
    return Listing(() if names == [NONE] else tuple(_named(name, place) for name in names), place)


def _section(target: Section, names: Sequence[str], old: Node | None, place: Place) -> Node:
    """The named component with its defaults; the keys that belong to the section are kept."""
    made = _single(target.key, names, place, required=target.required)
    if isinstance(made, Mapping) and isinstance(old, Mapping):
        kept = {key: old.entries[key] for key in target.engine_keys if key in old.entries}
        return Mapping({**made.entries, **kept}, place)
    return made


def _single(key: str, names: Sequence[str], place: Place, *, required: bool) -> Mapping | Scalar:
    if len(names) > 1:
        raise _OverrideError(f"'{key}' takes one component, got {len(names)}")
    if names[0] != NONE:
        return _named(names[0], place)
    if required:
        raise _OverrideError(f"a recipe cannot do without '{key}'")
    return Scalar(None, place)


def _named(name: str, place: Place) -> Mapping:
    return Mapping({"use": Entry(place, Scalar(name, place))}, place)
