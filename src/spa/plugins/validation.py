"""Checks what a hook returned, field by field: a record is data from a stranger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spa.plugins.component import Component
from spa.plugins.kinds import Kind
from spa.plugins.naming import COMPONENT_NAME, IMPORT_PATH

__all__ = ["incompatibility", "record_problems", "records"]


def records(returned: object, hook: str) -> list[object]:
    """The records that a hook returned, not checked one by one yet.

    Raises:
        TypeError: If it is not a list of something.
    """
    if isinstance(returned, Iterable) and not isinstance(returned, (str, bytes, dict)):
        return list(returned)
    found = "a single Component" if isinstance(returned, Component) else type(returned).__name__
    raise TypeError(f"{hook} must return a list of Component records, not {found}")


def record_problems(record: object, kind: Kind) -> Iterator[str]:
    """What is wrong with one record, in words; nothing if it is fine."""
    if not isinstance(record, Component):
        yield f"{kind.hook} must return Component records, not {type(record).__name__}"
        return
    name: object = record.name  # the annotations of a record are not checked when it is made
    if not isinstance(name, str) or not COMPONENT_NAME.match(name):
        yield (
            f"{kind.hook}: {name!r} is not a component name. "
            "Use lower-case letters and digits, joined by hyphens"
        )
    where = f"{kind.title} {name!r}"
    for field in ("impl", "config"):
        path: object = getattr(record, field)
        if not isinstance(path, str) or not IMPORT_PATH.match(path):
            yield f"{where}: {field} must be 'package.module:Class', not {path!r}"
    summary: object = record.summary
    if not isinstance(summary, str) or not summary.strip():
        yield f"{where}: summary must be a line of text, not {summary!r}"
    for field in ("api", "revision"):
        number = getattr(record, field)
        if type(number) is not int or number < 1:
            yield f"{where}: {field} must be a whole number from 1, not {number!r}"
    hint = record.install_hint
    if hint is not None and not isinstance(hint, str):
        yield f"{where}: install_hint must be text or None, not {hint!r}"


def incompatibility(record: Component, kind: Kind, distribution: str) -> str | None:
    """Why a component cannot work with this spa, and what to install; None if it can."""
    if record.api in kind.apis:
        return None
    supported = ", ".join(str(api) for api in kind.apis)
    newer = "spa-align" if record.api > max(kind.apis) else distribution
    return (
        f"{kind.title} {record.name!r} is written for version {record.api} of the {kind.title} "
        f"contract, this spa supports {supported}. Try: pip install --upgrade {newer}"
    )
