"""What differs between two JSON values, leaf by leaf: of two recipes, or of two keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spa.recipe import Recipe
from spa.types import JsonValue

__all__ = ["Change", "changes", "recipe_changes", "told"]

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs.

    Attributes:
        path: Where, as recipes name it: ``"judge.temperature"``.
        old: What it was; None where there was nothing.
        new: What it is; None where there is nothing.
        words: What to say of it where the values are of no use to people (hashes, keys).
    """

    path: str
    old: JsonValue = None
    new: JsonValue = None
    words: str = ""

    def __str__(self) -> str:
        """``judge.temperature: 0 -> 0.7``."""
        return self.words or f"{self.path}: {_short(self.old)} -> {_short(self.new)}"


def changes(old: Any, new: Any, path: str = "") -> Iterator[Change]:  # noqa: ANN401  # any JSON
    """Yields the leaves that differ.

    Lists of one length are compared item by item, others as wholes.

    Args:
        old: A JSON value.
        new: Another.
        path: What stands before every path.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            yield from changes(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    elif _listing(old) and _listing(new) and len(old) == len(new):
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from changes(one, other, f"{path}.{place}" if path else str(place))
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield Change(path, old, new)


def recipe_changes(before: Mapping[str, Any], recipe: Recipe) -> list[Change]:
    """What differs between a run's recipe, as its manifest has it, and a recipe."""
    now = json.loads(json.dumps(recipe.resolved()))  # tuples and the like as manifests keep them
    return list(changes(before, now))


def told(found: Sequence[Change], most: int = 8) -> str:
    """Changes for a message, one a line and indented; of many only the first."""
    lines = [f"  {change}" for change in found[:most]]
    if len(found) > most:
        lines.append(f"  and {len(found) - most} more")
    return "\n".join(lines)


def _listing(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _short(value: JsonValue) -> str:
    if value is None:
        return "null"
    text = str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
