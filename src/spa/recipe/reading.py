"""Reads one YAML file into a tree of values with places, reporting every mistake it can.

The first step of loading a recipe. YAML is read event by event: no object is ever constructed from
a tag, and what an alias repeats is counted, so that a small file cannot unfold into a huge one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from spa.errors import Problem
from spa.recipe.scalars import TAG_REFUSED, core_value, tagged_value
from spa.recipe.tree import Entry, Listing, Mapping, Node, Place, Scalar, describe, dotted, plain

__all__ = ["MOST_DEPTH", "MOST_NODES", "read_file", "read_text"]

MOST_NODES = 100_000
"""Most values that a recipe may have, everything repeated through aliases counted."""
MOST_DEPTH = 50
"""Most mappings and lists inside each other."""

_UNNAMED = ""
"""Step to a key that is no text, and to its value: deeper by one, left out of messages."""


class _UnreadableError(Exception):
    """Reading cannot go on."""


def read_file(path: Path, shown: str) -> tuple[Mapping | None, list[Problem]]:
    """Reads a recipe file.

    Args:
        path: The file.
        shown: Its name in messages.

    Returns:
        Its top mapping, None if it cannot be read, and what is wrong with it.
    """
    try:
        text = _decoded(path)
    except _UnreadableError as error:
        return None, [Problem(str(error), file=shown)]
    top = Place(shown, 1, 1, path.absolute().parent)
    node, problems = read_text(text, top)
    if node is None or isinstance(node, Mapping):
        return node, problems
    if isinstance(node, Scalar) and node.value is None:
        message = "the recipe is empty. It needs at least: objectives, model, prompts"
    else:
        found = describe(plain(node))
        message = f"a recipe is a mapping (key: value), this file holds {found}"
    return None, [*problems, node.place.problem(message)]


def _decoded(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise _UnreadableError(_missing(path)) from None
    except IsADirectoryError:
        raise _UnreadableError("this is a folder. Name the recipe file in it") from None
    except UnicodeDecodeError as error:
        message = f"not UTF-8 text (byte {error.start + 1}). Save the file as UTF-8"
        raise _UnreadableError(message) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _UnreadableError(f"cannot be read: {reason}") from None


def _missing(path: Path) -> str:
    near = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
    here = f". Recipes in that folder: {', '.join(near[:8])}" if near else ""
    return f"no such file{here}"


def read_text(text: str, top: Place) -> tuple[Node | None, list[Problem]]:
    """Reads YAML text that begins at a place.

    An option (a place without a line) keeps its place for everything inside of it.
    """
    reader = _Reader(top)
    try:
        return reader.read(text), reader.problems
    except _UnreadableError:
        return None, reader.problems


class _Reader:
    """Builds the tree of one text from ruamel's events."""

    def __init__(self, top: Place) -> None:
        self.top = top
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node | None] = {}
        self.sizes: dict[str, int] = {}
        self.heights: dict[str, int] = {}
        self.count = 0
        self.events: Iterator[Event] = iter(())

    def read(self, text: str) -> Node | None:
        yaml = YAML(typ="safe", pure=True)
        root: Node | None = None
        documents = 0
        try:
            self.events = iter(yaml.parse(text))
            for event in self.events:
                if isinstance(event, DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self.note(event, "a second YAML document ('---'). A recipe file holds one")
                        break
                elif isinstance(
                    event, (ScalarEvent, MappingStartEvent, SequenceStartEvent, AliasEvent)
                ):
                    root = self.node(event, ())
        except MarkedYAMLError as error:
            self.syntax(error)
            return None
        except (YAMLError, ValueError) as error:
            self.problems.append(self.top.problem(_reader_message(error)))
            return None
        return root if documents else Scalar(None, self.top)

    def place(self, event: Event) -> Place:
        mark = event.start_mark
        return self.at(mark.line, mark.column)

    def at(self, line: int, column: int) -> Place:
        top = self.top
        if not top.line:
            return top
        return Place(top.file, line + 1, column + 1, top.folder)

    def note(self, event: Event, message: str, path: str = "") -> None:
        self.problems.append(self.place(event).problem(message, path))

    def syntax(self, error: MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        message = f"not valid YAML: {error.problem or error.context}"
        if "'\\t'" in message:
            message = "not valid YAML: a tab at the beginning of a line. Indent with spaces"
        elif "mapping values are not allowed" in message:
            message += ". A text with ': ' in it needs quotes"
        elif error.context and error.context_mark is not None and error.context_mark.line != line:
            message += f" ({error.context} that began on line {error.context_mark.line + 1})"
        self.problems.append(self.at(line, column).problem(message))

    def node(self, event: Event, path: tuple[str | int, ...]) -> Node:
        """Builds the node that an event begins."""
        self.count += 1
        if self.count > MOST_NODES:
            self.note(
                event,
                f"more than {MOST_NODES} values, with everything that aliases (*name) repeat",
                dotted(*path),
            )
            raise _UnreadableError
        self.refuse_deep(event, len(path))
        if isinstance(event, AliasEvent):
            return self.alias(event, path)
        anchor: str | None = getattr(event, "anchor", None)
        before = self.count
        if anchor is not None:
            self.anchors[anchor] = None
        built: Node
        if isinstance(event, ScalarEvent):
            built = self.scalar(event, path)
        elif isinstance(event, MappingStartEvent):
            built = self.mapping(event, path)
        else:
            built = self.listing(event, path)
        if anchor is not None:
            self.anchors[anchor] = built
            self.sizes[anchor] = self.count - before + 1
            self.heights[anchor] = _height(built)
        return built

    def alias(self, event: AliasEvent, path: tuple[str | int, ...]) -> Node:
        name = str(event.anchor)
        target = self.anchors.get(name)
        if target is None:
            inside = name in self.anchors
            reason = "repeats what it stands in" if inside else f"has no anchor '&{name}' above it"
            self.note(event, f"the alias '*{name}' {reason}", dotted(*path))
            return Scalar(None, self.place(event))
        self.count += self.sizes[name]
        if self.count > MOST_NODES:
            self.note(
                event,
                f"more than {MOST_NODES} values, with everything that aliases (*name) repeat",
                dotted(*path),
            )
            raise _UnreadableError
        self.refuse_deep(event, len(path) + self.heights[name])
        return target

    def scalar(self, event: ScalarEvent, path: tuple[str | int, ...]) -> Scalar:
        tag = _tag(event)
        text = str(event.value)
        place = self.place(event)
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.note(event, "half of a surrogate pair is not a character", dotted(*path))
            return Scalar(None, place)
        try:
            if tag is not None:
                return Scalar(tagged_value(text, tag), place)
        except ValueError as error:
            self.note(event, str(error), dotted(*path))
            return Scalar(None, place)
        return Scalar(text if event.style else core_value(text), place)

    def listing(self, event: Event, path: tuple[str | int, ...]) -> Listing:
        self.refuse_tag(event, "seq", path)
        items: list[Node] = []
        for inner in self.events:
            if isinstance(inner, SequenceEndEvent):
                break
            items.append(self.node(inner, (*path, len(items))))
        return Listing(tuple(items), self.place(event))

    def mapping(self, event: Event, path: tuple[str | int, ...]) -> Mapping:
        self.refuse_tag(event, "map", path)
        entries: dict[str, Entry] = {}
        for inner in self.events:
            if isinstance(inner, MappingEndEvent):
                break
            key = self.key(inner, path)
            value = next(self.events)
            node = self.node(value, (*path, _UNNAMED if key is None else key))
            if isinstance(value, ScalarEvent) and not value.value and not value.style:
                # An empty value has no place of its own: its mark is that of the next key.
                node = Scalar(None, self.place(inner))
            if key is None:
                continue
            if key in entries:
                first = entries[key].place
                self.note(
                    inner,
                    f"duplicate key, already on line {first.line}. Keep one of them",
                    dotted(*path, key),
                )
            else:
                entries[key] = Entry(self.place(inner), node)
        return Mapping(entries, self.place(event))

    def key(self, event: Event, path: tuple[str | int, ...]) -> str | None:
        """The text of a key; None, with a problem noted, for a key that is no text."""
        if isinstance(event, ScalarEvent):
            if str(event.value) == "<<" and not event.style:
                self.note(
                    event,
                    "merge keys ('<<') are not part of YAML 1.2. Use 'extends' to inherit",
                    dotted(*path),
                )
                return None
            return str(event.value)
        if isinstance(event, AliasEvent):
            target = self.alias(event, path)
            if isinstance(target, Scalar):
                return str(target.value)
        else:
            self.node(event, (*path, _UNNAMED))
        self.note(event, "a key must be text", dotted(*path))
        return None

    def refuse_deep(self, event: Event, depth: int) -> None:
        if depth > MOST_DEPTH:
            self.note(event, f"more than {MOST_DEPTH} levels inside each other")
            raise _UnreadableError

    def refuse_tag(self, event: Event, own: str, path: tuple[str | int, ...]) -> None:
        tag = _tag(event)
        if tag not in {None, "!", f"tag:yaml.org,2002:{own}"}:
            self.note(event, TAG_REFUSED.format(tag=tag), dotted(*path))


def _height(node: Node) -> int:
    """Levels below a node: 0 for a single value."""
    if isinstance(node, Scalar):
        return 0
    if isinstance(node, Listing):
        return 1 + max(map(_height, node.items), default=0)
    return 1 + max((_height(entry.node) for entry in node.entries.values()), default=0)


def _tag(event: Any) -> str | None:  # noqa: ANN401 - ruamel's events share no typed base for it
    tag = event.tag
    return None if tag is None else str(tag)


def _reader_message(error: Exception) -> str:
    character = getattr(error, "character", None)
    if character is not None:
        code = ord(character) if isinstance(character, str) else int(character)
        return f"not valid YAML: the character U+{code:04X} is not allowed in it"
    return f"not valid YAML: {str(error).splitlines()[0]}"
