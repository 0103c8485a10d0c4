"""Values of the harness as JSON can hold them, and as figures need them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from spa.api import JsonValue

__all__ = ["digest", "plain"]


def plain(value: Any) -> JsonValue:
    """Numbers as numbers, lists as lists; what JSON does not know as text."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:  # a number of numpy
        return plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value)


def digest(value: Any) -> str:
    """A short hash of any value that can be written down."""
    text = json.dumps(value, sort_keys=True, default=_named, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _named(value: object) -> str:
    """Functions by their name: their addresses differ from process to process."""
    return getattr(value, "__qualname__", None) or str(value)
