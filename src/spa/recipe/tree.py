"""A recipe as it was written: plain values, each with the place where it stands.

Reading makes such a tree, merging and overrides turn trees into one, validation reads it. Values
keep their place through all of that, because a mistake is reported where it was written and a
path is relative to the file it was written in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from spa.errors import Problem
from spa.types import JsonValue

__all__ = [
    "Entry",
    "Listing",
    "Mapping",
    "Node",
    "Place",
    "Scalar",
    "ScalarValue",
    "describe",
    "dotted",
    "find",
    "leaves",
    "plain",
]

_SHORT = 60
ScalarValue: TypeAlias = "bool | int | float | str | None"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written.

    Attributes:
        file: The file as shown to people, or an option such as ``--set loss.alpha=2``.
        line: From 1; 0 for an option.
        column: From 1; 0 for an option.
        folder: What relative paths written here are relative to.
    """

    file: str
    line: int = 0
    column: int = 0
    folder: Path = field(default_factory=Path)

    def problem(self, message: str, path: str = "") -> Problem:
        """Makes a problem that points here."""
        return Problem(message, file=self.file, line=self.line, column=self.column, path=path)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value.

    Attributes:
        value: What it says.
        place: Where it is written.
        undoes: Whether it is a null written over a value of the recipe below, and so asks for
            the default.
    """

    value: ScalarValue
    place: Place
    undoes: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of values."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping, with its own place, and its value."""

    place: Place
    node: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values, in the order written. Keys are always text."""

    entries: dict[str, Entry]
    place: Place

    def get(self, key: str) -> Node | None:
        """The value of a key, None where there is no such key."""
        entry = self.entries.get(key)
        return None if entry is None else entry.node

    def replaced(self, key: str, entry: Entry) -> Mapping:
        """The same mapping with one entry exchanged or added."""
        return Mapping({**self.entries, key: entry}, self.place)

    def without(self, keys: Sequence[str]) -> Mapping:
        """The same mapping without some keys."""
        kept = {key: entry for key, entry in self.entries.items() if key not in keys}
        return Mapping(kept, self.place)


Node: TypeAlias = Scalar | Listing | Mapping


def plain(node: Node) -> JsonValue:
    """The values alone, as dicts, lists and scalars."""
    match node:
        case Scalar():
            return node.value
        case Listing():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key: plain(entry.node) for key, entry in node.entries.items()}


def leaves(
    node: Node, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Scalar]]:
    """All scalars below a node, each with the keys that lead to it."""
    match node:
        case Scalar():
            yield path, node
        case Listing():
            for index, item in enumerate(node.items):
                yield from leaves(item, (*path, index))
        case Mapping():
            for key, entry in node.entries.items():
                yield from leaves(entry.node, (*path, key))


def find(node: Node, path: Sequence[str | int]) -> tuple[Node, Place, tuple[str | int, ...]]:
    """Follows keys as far as they lead.

    Steps that lead nowhere are skipped: pydantic names the branch of a union between two keys.

    Returns:
        The node reached, the place of its key (its own in a list), and the steps really taken.
    """
    place = node.place
    taken: list[str | int] = []
    for step in path:
        if isinstance(node, Mapping) and str(step) in node.entries:
            entry = node.entries[str(step)]
            node, place = entry.node, entry.place
            taken.append(str(step))
        elif isinstance(node, Listing) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
            place = node.place
            taken.append(step)
    return node, place, tuple(taken)


def dotted(*steps: str | int) -> str:
    """Joins keys to the form shown in messages: ``denoise.1.max_determinant``."""
    return ".".join(str(step) for step in steps if step != "")


def describe(value: JsonValue) -> str:
    """A value the way a recipe writes it, short enough for a message."""
    match value:
        case None | bool():
            text = json.dumps(value)
        case float() if not math.isfinite(value):
            text = ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        case int() | float():
            text = repr(value)
        case str():
            text = repr(value) if len(value) <= _SHORT else repr(value[: _SHORT - 3] + "...")
        case dict():
            text = "a mapping"
        case _:
            text = "a list"
    return text
