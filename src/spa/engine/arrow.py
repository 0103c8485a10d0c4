"""Turns row dataclasses into Arrow schemas, so that committed rows are typed columns.

Rows read back from parquet equal those that were written. Free-form mappings, whose shape differs
from row to row, become JSON text.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from spa.types import JsonValue

__all__ = ["from_arrow", "schema_of", "to_arrow"]

_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
# Token ids are by far the most of what is stored: lists of them are passed on as they are.
_PLAIN = frozenset([*_SCALARS, tuple[int, ...], tuple[float, ...], tuple[str, ...]])
# Finding out the types of a dataclass's fields takes longer than reading a row.
_hints: Callable[[Any], dict[str, Any]] = functools.cache(get_type_hints)


def schema_of(row_type: type) -> pa.Schema:
    """The Arrow schema of a row dataclass.

    Raises:
        TypeError: If a field has a type that rows do not use.
    """
    hints = _hints(row_type)
    return pa.schema([(f.name, _arrow_type(hints[f.name])) for f in dataclasses.fields(row_type)])


def to_arrow(value: Any, hint: Any) -> Any:
    """Prepares a JSON-like value of type ``hint`` for Arrow: free-form mappings become text."""
    if value is None or hint in _PLAIN:
        return value
    hint = _without_none(hint)
    origin = get_origin(hint)
    if _is_free_form(hint):
        return json.dumps(value, ensure_ascii=False)
    if origin is tuple:
        return [to_arrow(item, get_args(hint)[0]) for item in value]
    if origin is Mapping:
        return [(key, to_arrow(item, get_args(hint)[1])) for key, item in value.items()]
    if dataclasses.is_dataclass(hint):
        hints = _hints(hint)
        return {name: to_arrow(value[name], hints[name]) for name in hints}
    return value


def from_arrow(value: Any, hint: Any) -> Any:
    """The inverse of `to_arrow`, on what ``to_pylist`` gives."""
    if value is None or hint in _PLAIN:
        return value
    hint = _without_none(hint)
    origin = get_origin(hint)
    if _is_free_form(hint):
        return json.loads(value)
    if origin is tuple:
        return [from_arrow(item, get_args(hint)[0]) for item in value]
    if origin is Mapping:
        return {key: from_arrow(item, get_args(hint)[1]) for key, item in value}
    if dataclasses.is_dataclass(hint):
        hints = _hints(hint)
        return {name: from_arrow(value[name], hints[name]) for name in hints}
    return value


def _is_free_form(hint: Any) -> bool:
    return hint is JsonValue or (get_origin(hint) is Mapping and get_args(hint)[1] is JsonValue)


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return hint


def _arrow_type(hint: Any) -> pa.DataType:
    hint = _without_none(hint)
    origin = get_origin(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if origin is Literal or _is_free_form(hint):
        return pa.string()
    if origin is tuple:
        return pa.list_(_arrow_type(get_args(hint)[0]))
    if origin is Mapping:
        return pa.map_(pa.string(), _arrow_type(get_args(hint)[1]))
    if dataclasses.is_dataclass(hint):
        hints = _hints(hint)
        return pa.struct([(name, _arrow_type(each)) for name, each in hints.items()])
    raise TypeError(f"rows cannot hold a field of type {hint}")
