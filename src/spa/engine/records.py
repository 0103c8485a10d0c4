"""Row dataclasses as JSON lines, as typed Arrow columns, and back.

Rows read back equal those that were written. Free-form mappings, whose shape differs from row to
row, become JSON text in Arrow. What a component returns is checked against the row's type when it
is written, not when it is read; numbers may be NumPy's.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
import pyarrow as pa

from spa.types import JsonValue

__all__ = ["RowCodec", "schema_of"]

R = TypeVar("R")
Convert = Callable[[Any], Any]

_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_LARGEST = np.iinfo(np.int64).max
_decode = msgspec.json.Decoder().decode


def _plain(value: Any) -> bool | int | float:
    """The number that a scalar of NumPy or torch is.

    Raises:
        TypeError: If it is anything else.
    """
    item = getattr(value, "item", None)
    number = item() if callable(item) and not getattr(value, "shape", None) else None
    if not isinstance(number, bool | int | float):
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
    return number


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


class RowCodec(Generic[R]):
    """Writes and reads the rows of one dataclass."""

    def __init__(self, row_type: type[R]) -> None:
        """Works out how the fields are stored.

        Raises:
            TypeError: If a field has a type that rows do not use.
        """
        self.schema = schema_of(row_type)
        self._names = [field.name for field in dataclasses.fields(row_type)]  # type: ignore[arg-type]
        hints = get_type_hints(row_type)
        self._lines = msgspec.json.Decoder(list[_stored_type(row_type, msgspec.Raw)])  # type: ignore[misc]
        self._given = list[_stored_type(row_type, Any)]  # type: ignore[misc]
        self._parsed = msgspec.json.Decoder(list[_parsed_struct(row_type)])  # type: ignore[misc, arg-type]
        self._columns = [(name, _to_column(hints[name])) for name in self._names]
        self._from_line = _restored(row_type, _FROM_LINE) or _same
        self._from_arrow = [_restored(hints[name], _FROM_ARROW) for name in self._names]
        self._row_type = row_type

    def encode(self, rows: Sequence[R]) -> bytes:
        """The rows as one JSON array.

        Raises:
            TypeError: If a row holds what its type does not allow, or what JSON cannot hold.
        """
        body = _encode(rows)
        try:
            msgspec.convert(rows, self._given, from_attributes=True)
        except msgspec.ValidationError:
            try:  # what is no number of Python's may have become one
                self._lines.decode(body)
            except msgspec.ValidationError as error:
                raise TypeError(str(error)) from error
        return body

    def decode(self, body: bytes) -> list[R]:
        """The rows of a JSON array that `encode` made."""
        return [self._from_line(row) for row in self._lines.decode(body)]

    def table(self, bodies: Iterable[bytes]) -> pa.Table:
        """The rows of several JSON arrays as an Arrow table."""
        rows = [row for body in bodies for row in self._parsed.decode(body)]
        columns = [
            to_column([getattr(row, name) for row in rows], field.type)
            for (name, to_column), field in zip(self._columns, self.schema, strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def rows(self, batch: pa.RecordBatch) -> Iterator[R]:
        """The rows of Arrow columns."""
        columns = []
        for name, convert in zip(self._names, self._from_arrow, strict=True):
            values = batch.column(name).to_pylist()
            if convert is not None:
                values = [None if value is None else convert(value) for value in values]
            columns.append(values)
        return map(self._row_type, *columns)


def schema_of(row_type: type) -> pa.Schema:
    """The Arrow schema of a row dataclass.

    Raises:
        TypeError: If a field has a type that rows do not use.
    """
    hints = get_type_hints(row_type)
    return pa.schema([(f.name, _arrow_type(hints[f.name])) for f in dataclasses.fields(row_type)])


def _arrow_type(hint: Any) -> pa.DataType:
    hint, _ = _without_none(hint)
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
        hints = get_type_hints(hint)
        return pa.struct([(name, _arrow_type(each)) for name, each in hints.items()])
    raise TypeError(f"rows cannot hold a field of type {hint}")


def _stored_type(hint: Any, free_form: Any) -> Any:
    """What a line is parsed as, and what a row is checked against.

    Args:
        hint: The type of a field.
        free_form: What stands for free-form values.
    """
    hint, optional = _without_none(hint)
    origin = get_origin(hint)
    if _is_free_form(hint):
        found: Any = free_form
    elif origin is Literal:
        found = str
    elif origin is tuple:
        found = list[_stored_type(get_args(hint)[0], free_form)]  # type: ignore[misc]
    elif origin is Mapping:
        found = dict[str, _stored_type(get_args(hint)[1], free_form)]  # type: ignore[misc]
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
        found = _stored_struct(hint, free_form)
    else:
        found = hint
    return found | None if optional else found


@functools.cache
def _stored_struct(row_type: type, free_form: Any) -> type[msgspec.Struct]:
    hints = get_type_hints(row_type)
    fields = [(name, _stored_type(each, free_form)) for name, each in hints.items()]
    return msgspec.defstruct(f"Stored{row_type.__name__}", fields, gc=False)


@functools.cache
def _parsed_struct(row_type: type) -> type[msgspec.Struct]:
    """What a line is parsed as on its way to Arrow: lists of integers stay text."""
    fields = [
        (name, msgspec.Raw if _is_integers(hint) else _stored_type(hint, msgspec.Raw))
        for name, hint in get_type_hints(row_type).items()
    ]
    return msgspec.defstruct(f"Parsed{row_type.__name__}", fields, gc=False)


def _to_column(hint: Any) -> Callable[[list[Any], pa.DataType], pa.Array]:
    """From the values of a field to an Arrow array."""
    return _integers if _is_integers(hint) else functools.partial(_column, _to_arrow(hint))


def _column(convert: Convert | None, values: list[Any], arrow_type: pa.DataType) -> pa.Array:
    if convert is not None:
        values = [None if value is None else convert(value) for value in values]
    return pa.array(values, type=arrow_type)


def _integers(values: list[Any], arrow_type: pa.DataType) -> pa.Array:
    """Lists of integers, still JSON: token ids are most of a run, and take long one by one."""
    texts = [bytes(value)[1:-1] for value in values]
    lengths = [text.count(b",") + 1 if text else 0 for text in texts]
    joined = b",".join(filter(None, texts))
    # An empty text would be read as one number.
    numbers = np.fromstring(joined, np.int64, sep=",") if joined else np.empty(0, np.int64)
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    if offsets[-1] != len(numbers):
        raise ValueError(f"{len(numbers)} of {offsets[-1]} numbers could be read")
    if len(numbers) and max(numbers.max(), -numbers.min()) >= _LARGEST:  # where reading stops
        raise OverflowError("an integer has more than 63 bits")
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(numbers), type=arrow_type)


def _to_arrow(hint: Any) -> Convert | None:
    """From a parsed line to what Arrow takes; None: as it is."""
    hint, _ = _without_none(hint)
    if _is_free_form(hint):
        return _raw_text
    origin = get_origin(hint)
    if origin is tuple:
        return _each(_to_arrow(get_args(hint)[0]))
    if origin is Mapping:
        value = _to_arrow(get_args(hint)[1])
        return _map_items(value)
    if dataclasses.is_dataclass(hint):
        parts = [(name, _to_arrow(each)) for name, each in get_type_hints(hint).items()]
        return functools.partial(_struct, parts)
    return None


def _raw_text(raw: msgspec.Raw) -> str:
    return str(memoryview(raw), "utf-8")


def _each(convert: Convert | None) -> Convert | None:
    return None if convert is None else lambda values: [convert(value) for value in values]


def _map_items(convert: Convert | None) -> Convert:
    if convert is None:
        return lambda mapping: list(mapping.items())
    return lambda mapping: [(key, convert(value)) for key, value in mapping.items()]


def _struct(parts: Sequence[tuple[str, Convert | None]], value: Any) -> dict[str, Any]:
    found = {}
    for name, convert in parts:
        part = getattr(value, name)
        found[name] = part if convert is None or part is None else convert(part)
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Side:
    """How what is read differs: parsed lines on one side, Arrow's Python values on the other."""

    text: Convert
    items: Convert
    part: Callable[[Any, str], Any]


_FROM_LINE = _Side(_decode, dict.items, getattr)
_FROM_ARROW = _Side(_decode, iter, dict.__getitem__)


def _restored(hint: Any, side: _Side) -> Convert | None:
    """From what is read to the value of a field; None: as it is."""
    hint, _ = _without_none(hint)
    if _is_free_form(hint):
        return side.text
    origin = get_origin(hint)
    if origin is tuple:
        inner = _restored(get_args(hint)[0], side)
        return tuple if inner is None else lambda values: tuple(inner(value) for value in values)
    if origin is Mapping:
        value = _restored(get_args(hint)[1], side) or _same
        return lambda mapping: {key: value(each) for key, each in side.items(mapping)}
    if dataclasses.is_dataclass(hint):
        parts = [(name, _restored(each, side)) for name, each in get_type_hints(hint).items()]
        return functools.partial(_instance, hint, parts, side.part)
    return None


def _instance(
    row_type: Any,
    parts: Sequence[tuple[str, Convert | None]],
    get: Callable[[Any, str], Any],
    stored: Any,
) -> Any:
    values = []
    for name, convert in parts:
        value = get(stored, name)
        values.append(value if convert is None or value is None else convert(value))
    return row_type(*values)


def _same(value: Any) -> Any:
    return value


def _is_integers(hint: Any) -> bool:
    return get_origin(hint) is tuple and get_args(hint) == (int, ...)


def _is_free_form(hint: Any) -> bool:
    return hint is JsonValue or (get_origin(hint) is Mapping and get_args(hint)[1] is JsonValue)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """A type without ``None``, and whether that was one of its alternatives."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not type(None)]
        if len(rest) == 1 and len(get_args(hint)) > 1:
            return rest[0], True
    return hint, False
