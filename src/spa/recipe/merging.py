"""Inheritance: reads a recipe and the recipes that it extends, and lays them over each other.

Mappings merge key by key, lists and single values replace, and a component section whose ``use``
differs from the one below replaces that section, since another component's keys mean nothing to
it. A null asks for the default.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from spa.errors import Problem
from spa.fields import PACKAGE_SCHEME, resolve_path
from spa.recipe.reading import read_file
from spa.recipe.tree import Entry, Mapping, Node, Scalar, describe, plain

__all__ = ["EXTENDS", "MOST_FILES", "Read", "merge", "merge_nodes", "read_chain"]

EXTENDS = "extends"
MOST_FILES = 20
"""Most recipes in one chain of ``extends``."""


@dataclass(frozen=True, slots=True)
class Read:
    """What reading a recipe gave.

    Attributes:
        root: The merged recipe without ``extends``; None if a file cannot be read.
        problems: What is wrong in any of the files.
        files: The files as shown in messages: the recipe, what it extends, and so on.
    """

    root: Mapping | None
    problems: tuple[Problem, ...]
    files: tuple[str, ...]


def read_chain(path: Path) -> Read:
    """Reads a recipe with all that it extends."""
    problems: list[Problem] = []
    chain: list[tuple[Path, str]] = []
    layers: list[Mapping] = []
    target, shown = path, str(path)
    while True:
        top, found = read_file(target, shown)
        chain.append((target.resolve(), shown))
        problems += found
        if top is None:
            return Read(None, tuple(problems), _names(chain))
        layers.append(top.without([EXTENDS]))
        node = top.get(EXTENDS)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            break
        try:
            target, shown = _base(node, chain)
        except ValueError as error:
            problems.append(node.place.problem(str(error), EXTENDS))
            return Read(None, tuple(problems), _names(chain))
    merged = layers.pop()
    while layers:
        merged = merge(merged, layers.pop())
    return Read(merged, tuple(problems), _names(chain))


def _names(chain: list[tuple[Path, str]]) -> tuple[str, ...]:
    return tuple(name for _, name in chain)


def _base(node: Node, chain: list[tuple[Path, str]]) -> tuple[Path, str]:
    """The recipe that ``extends`` names, and how to show it.

    Raises:
        ValueError: If it is no file, or the chain goes round or on too long.
    """
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        raise ValueError(f"expected the path of one recipe, got {describe(plain(node))}")
    written = node.value
    target = Path(resolve_path(written, node.place.folder))
    relative = (
        not written.startswith(PACKAGE_SCHEME) and not Path(written).expanduser().is_absolute()
    )
    shown = os.path.normpath(Path(chain[-1][1]).parent / written) if relative else str(target)
    for index, (earlier, _) in enumerate(chain):
        if earlier == target.resolve():
            names = [name for _, name in chain[index:]]
            raise ValueError(
                f"the recipes extend each other in a circle: {' -> '.join([*names, names[0]])}"
            )
    if not target.is_file():
        raise ValueError(
            f"no such recipe: {shown}. The path is relative to the file that it is written in"
        )
    if len(chain) >= MOST_FILES:
        raise ValueError(f"more than {MOST_FILES} recipes extend each other")
    return target, shown


def merge(base: Mapping, over: Mapping) -> Mapping:
    """Lays one mapping over another; neither is changed.

    The order of keys is the base's, then the new ones; keys and values keep their places.
    """
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        below = entries.get(key)
        node = entry.node if below is None else merge_nodes(below.node, entry.node)
        entries[key] = Entry(entry.place, node)
    return Mapping(entries, over.place)


def merge_nodes(base: Node, over: Node) -> Node:
    """Lays one value over another."""
    if isinstance(over, Mapping) and isinstance(base, Mapping):
        return over if _another_component(base, over) else merge(base, over)
    if isinstance(over, Scalar) and over.value is None:
        return replace(over, undoes=True)
    return over


def _another_component(base: Mapping, over: Mapping) -> bool:
    old, new = base.get("use"), over.get("use")
    return new is not None and old is not None and plain(old) != plain(new)
