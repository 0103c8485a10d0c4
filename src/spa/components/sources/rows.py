"""From rows of any table to prompts: columns picked, ids made, mistakes named.

Shared by all sources. A row comes with its place, so that a message can say where the mistake is.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, cast, get_args

from spa.api import JsonValue, Message, Prompt, Role, SpaError
from spa.components.sources.configs import ColumnsConfig

__all__ = ["PlacedRow", "half_character", "prompts_from_rows"]

PlacedRow: TypeAlias = tuple[str, Mapping[str, object] | SpaError]
"""Where the row is (``"prompts.jsonl:3"``), and its columns, or why it has none."""

_ROLES: tuple[str, ...] = get_args(Role)
_HASH_LENGTH = 16
_NAMED = 10  # rows with mistakes that a message names
_IDS = (str, int)
_PLAIN = (bool, int, str)
_HALF = re.compile("[\ud800-\udfff]")


def prompts_from_rows(rows: Iterable[PlacedRow], config: ColumnsConfig, name: str) -> list[Prompt]:
    """Makes a prompt of every row.

    Without an id column, the id is a hash of the conversation, with ``-2`` and so on for its later
    occurrences: it stays when rows are moved, added or given other columns.

    Args:
        rows: The rows with their places.
        config: Which columns hold what.
        name: What to call the whole, for messages.

    Raises:
        SpaError: If a column is missing, a text is empty, a conversation is not well formed, an
            id is there twice or not at all, or there is no row. Up to ten rows are named, and the
            others counted.
    """
    reader = _Reader(config)
    prompts: list[Prompt] = []
    mistakes: list[str] = []
    count = 0
    for place, row in rows:
        try:
            if isinstance(row, SpaError):
                raise row
            prompts.append(reader.prompt(place, row))
        except SpaError as error:
            count += 1
            if count <= _NAMED:
                mistakes.append(str(error))
    if count == 1:
        raise SpaError(mistakes[0])
    if count:
        more = [f"and {count - _NAMED:,} more"] if count > _NAMED else []
        raise SpaError("\n  ".join([f"{name}: {count:,} rows cannot be used:", *mistakes, *more]))
    if not prompts:
        raise SpaError(f"{name} holds no prompts: it is empty. Add at least one row.")
    return prompts


class _Reader:
    """Makes prompts of rows, one after the other, and remembers their ids."""

    def __init__(self, config: ColumnsConfig) -> None:
        self._config = config
        self._text = config.text_column
        self._plain = config.messages_column is None
        self._places: dict[str, str] = {}
        self._seen: Counter[str] = Counter()
        self._id: str | None = None
        self._used: frozenset[str | None] | None = None

    def prompt(self, place: str, row: Mapping[str, object]) -> Prompt:
        """The prompt of a row.

        Raises:
            SpaError: If the row is not right.
        """
        if self._used is None:
            self._id = _id_column(row, self._config)
            self._used = frozenset({self._text, self._id})
        used, column = self._used, self._id
        # Nearly all rows hold two texts, of which nothing more is to be asked.
        text = row.get(self._text) if self._plain else None
        if type(text) is str and text and not text.isspace():
            messages: tuple[Message, ...] = (Message("user", text),)
        else:
            messages = _messages(row, self._config, place)
        given = None if column is None else row.get(column)
        if type(given) is str and given and not given.isspace():
            own_id = given
        elif column is None:
            own_id = _hash_id(messages, self._seen)
        else:
            own_id = _given_id(row, column, place)
        if own_id in self._places:
            raise SpaError(
                f"{place}: id {own_id!r} is there already, at {self._places[own_id]}. Ids must be "
                "unique: change one, or name another column with id_column."
            )
        self._places[own_id] = place
        meta = {key: _plain(value) for key, value in row.items() if key not in used}
        return Prompt(own_id, messages, "train", meta)


def half_character(row: Mapping[str, object], place: str) -> SpaError | None:
    """Half of a surrogate pair, which JSON lets through, can be neither stored nor tokenized."""
    for column, value in row.items():
        half = _half(column) or _half(value)
        if half is not None:
            return SpaError(
                f"{place}: column {column!r} holds U+{ord(half):04X}, which is half of a character"
                " (a surrogate without its partner). Write the whole character, or remove it."
            )
    return None


def _half(value: object) -> str | None:
    if isinstance(value, str):
        found = _HALF.search(value)
        return None if found is None else found[0]
    if isinstance(value, Mapping):
        return _half([*value.keys(), *value.values()])
    if isinstance(value, list | tuple):
        return next((half for inner in value if (half := _half(inner))), None)
    return None


def _id_column(first: Mapping[str, object], config: ColumnsConfig) -> str | None:
    if config.id_column is not None:
        return config.id_column
    return "id" if "id" in first and config.text_column != "id" else None


def _column(row: Mapping[str, object], column: str, setting: str, place: str) -> object:
    if column not in row:
        present = ", ".join(repr(name) for name in row) or "none"
        raise SpaError(
            f"{place}: there is no column {column!r}. Present: {present}. Name the right one with"
            f" {setting}."
        )
    return row[column]


def _given_id(row: Mapping[str, object], column: str, place: str) -> str:
    value = _column(row, column, "id_column", place)
    if isinstance(value, bool) or not isinstance(value, _IDS) or not str(value).strip():
        raise SpaError(f"{place}: the id in column {column!r} must be a text or a whole number.")
    return str(value)


def _hash_id(messages: Sequence[Message], seen: Counter[str]) -> str:
    content = json.dumps([[m.role, m.content] for m in messages], ensure_ascii=False)
    digest = hashlib.sha256(content.encode("utf-8")).hexdigest()[:_HASH_LENGTH]
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def _messages(row: Mapping[str, object], config: ColumnsConfig, place: str) -> tuple[Message, ...]:
    column = config.text_column
    if config.messages_column is None:
        text = _column(row, column, "prompt_column", place)
        if not isinstance(text, str):
            raise SpaError(f"{place}: the prompt in column {column!r} must be a text.")
        messages: tuple[Message, ...] = (Message("user", text),)
    else:
        value = _column(row, column, "messages_column", place)
        messages = _conversation(value, column, place)
    if not messages[-1].content.strip():
        raise SpaError(f"{place}: the prompt in column {column!r} is empty. Fill in or remove it.")
    return messages


def _conversation(value: object, column: str, place: str) -> tuple[Message, ...]:
    if isinstance(value, str):  # the only way to hold a conversation in a CSV file
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise SpaError(
                f"{place}: the conversation in column {column!r} is not valid JSON: {error}."
            ) from None
    if not isinstance(value, list) or not value:
        raise SpaError(
            f"{place}: the conversation in column {column!r} must be a list of at least one"
            ' {"role": ..., "content": ...}, or of texts, each a user turn.'
        )
    if half := half_character({column: value}, place):
        raise half
    messages = tuple(_message(turn, number, place) for number, turn in enumerate(value, start=1))
    if messages[-1].role != "user":
        raise SpaError(
            f"{place}: the last turn of a prompt must be from the user, and here it is from the"
            f" {messages[-1].role}. Remove the turns after the last user turn."
        )
    return messages


def _message(turn: object, number: int, place: str) -> Message:
    if isinstance(turn, str):  # as sets of questions in several turns have them
        return Message("user", turn)
    role = turn.get("role") if isinstance(turn, Mapping) else None
    content = turn.get("content") if isinstance(turn, Mapping) else None
    if role not in _ROLES or not isinstance(content, str):
        raise SpaError(
            f"{place}: turn {number} must have a role ({', '.join(_ROLES)}) and a text as content."
        )
    return Message(cast("Role", role), content)


def _plain(value: object) -> JsonValue:
    """What JSON can hold as it is; dates, bytes, infinities and the like as text."""
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value)
