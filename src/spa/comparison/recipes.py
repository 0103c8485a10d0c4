"""What differs in the recipes of several runs, setting by setting, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from spa.types import JsonValue

__all__ = ["ABSENT", "SettingDifference", "differences"]

ABSENT = "-"
"""Stands for a setting that a run's recipe does not have."""

_NO_SETTINGS = frozenset({"name"})


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """A setting that is not the same in all runs.

    Attributes:
        key: Its dotted place in the recipe, for example ``"loss.beta"``; that of the section where
            the component itself differs.
        values: Its value in each run, a component by its name; `ABSENT` where there is none.
    """

    key: str
    values: tuple[JsonValue, ...]


def differences(recipes: Sequence[Mapping[str, JsonValue]]) -> list[SettingDifference]:
    """The settings that differ, in the order of the recipes.

    Where a section names different components, only that is told: settings of two components do not
    correspond.

    Args:
        recipes: Resolved recipes, as manifests hold them.
    """
    keys = [key for key in _keys(recipes) if key not in _NO_SETTINGS]
    return [
        found for key in keys for found in _compared((key,), [each.get(key) for each in recipes])
    ]


def _compared(path: tuple[str, ...], values: Sequence[JsonValue]) -> Iterator[SettingDifference]:
    if all(value == values[0] for value in values):
        return
    mappings = [value for value in values if isinstance(value, Mapping)]
    lists = [_items(value) for value in values]
    if len(mappings) == len(values) and len({str(each.get("use")) for each in mappings}) == 1:
        for key in _keys(mappings):
            yield from _compared((*path, key), [each.get(key, ABSENT) for each in mappings])
    elif _same_components(lists):
        for place, items in enumerate(zip(*lists, strict=True)):
            name = str(items[0].get("name", place))
            yield from _compared((*path, name), items)
    else:
        yield SettingDifference(".".join(path), tuple(map(_shown, values)))


def _items(value: JsonValue) -> list[Mapping[str, JsonValue]]:
    """The sections of a list of sections; nothing of any other value."""
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        return []
    items = [item for item in value if isinstance(item, Mapping)]
    return items if len(items) == len(value) else []


def _same_components(lists: Sequence[Sequence[Mapping[str, JsonValue]]]) -> bool:
    """Whether lists hold the same components, or objectives, in the same order."""
    named = {tuple((str(i.get("use")), str(i.get("name"))) for i in items) for items in lists}
    return len(named) == 1 and named != {()}


def _shown(value: JsonValue) -> JsonValue:
    """Components and objectives by name; other values as they are."""
    if isinstance(value, Mapping):
        return _name(value) or value
    items = _items(value)
    names = [_name(item) for item in items]
    return "+".join(map(str, names)) if items and all(names) else value


def _name(section: Mapping[str, JsonValue]) -> str | None:
    named = section.get("use") or section.get("name")
    return str(named).rpartition("/")[2] if named else None


def _keys(recipes: Sequence[Mapping[str, JsonValue]]) -> list[str]:
    return list(dict.fromkeys(key for recipe in recipes for key in recipe))
