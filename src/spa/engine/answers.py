"""Keeps every raw answer of a model, apart from what components make of it.

An answer is found by the request that it answers, so resuming a stage, or parsing again with a
mended parser, asks a model only for what is missing. The answers stay on disk; what is held in
memory is where each of them lies, 16 bytes an answer of an earlier process and a bounded number of
the latest ones.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from spa.engine.lines import LineFile, Place
from spa.types import ChatRequest, ChatResult, LabelRequest, LabelResult, Request, Result

__all__ = ["AnswerLog", "SeededKeys", "decoded_answer", "request_key"]

_RECENT = 1 << 15
_PREFIX = 16  # hexadecimal digits of a key that the index holds; the line on disk has all of them
_KINDS = {kind: kind.__name__.encode() for kind in (ChatRequest, LabelRequest)}
_SEED = b'"seed":'
_NO_SEED = _SEED + b"null"
_encode = msgspec.json.Encoder().encode


class _Head(msgspec.Struct):
    """The key of a line; the rest of it is skipped."""

    request: str


class _StoredLabels(msgspec.Struct):
    """A label result: JSON has no word for the logarithm of 0."""

    logprobs: list[float | None]
    mass: float
    prompt_tokens: int


class _ChatLine(msgspec.Struct, tag="chat", tag_field="kind"):
    request: str
    result: ChatResult


class _LabelLine(msgspec.Struct, tag="label", tag_field="kind"):
    request: str
    result: _StoredLabels


_head = msgspec.json.Decoder(_Head)
_line = msgspec.json.Decoder(_ChatLine | _LabelLine)


def request_key(request: Request) -> str:
    """The sha256 of a request with its seed."""
    kind = _KINDS.get(type(request)) or type(request).__name__.encode()
    return hashlib.sha256(kind + _encode(request)).hexdigest()


class SeededKeys:
    """`request_key` of requests that differ in their seeds: what they share is hashed once."""

    def __init__(self) -> None:
        """Has hashed nothing yet."""
        self._bare: Request | None = None
        self._shared = hashlib.sha256()
        self._rest = b""

    def of(self, bare: Request, request: Request) -> str:
        """``request_key(request)``.

        Args:
            bare: The request without a seed, or the same object as ``request``.
            request: It, with a seed.
        """
        if bare is request or not isinstance(request, ChatRequest) or request.seed is None:
            return request_key(request)
        if bare is not self._bare:
            # In text, quotes are escaped, so this stands nowhere else.
            shared, _, self._rest = _encode(bare).rpartition(_NO_SEED)
            self._shared = hashlib.sha256(_KINDS[ChatRequest] + shared + _SEED)
            self._bare = bare
        whole = self._shared.copy()
        whole.update(b"%d%b" % (request.seed, self._rest))
        return whole.hexdigest()


def decoded_answer(line: bytes) -> Result:
    """The answer that a line holds.

    Args:
        line: A JSON object as `AnswerLog` writes it, without its checksum.
    """
    found = _line.decode(line)
    return found.result if isinstance(found, _ChatLine) else _labels(found.result)


class AnswerLog:
    """The answers of one model to one stage, on disk.

    Attributes:
        file: Where they are.
    """

    def __init__(self, path: Path) -> None:
        """Opens the log and finds out what is there.

        Raises:
            RunError: If the folder cannot be written.
        """
        self.file = LineFile(path)
        keys, starts, lengths = array("Q"), array("Q"), array("I")
        for (start, length), body in self.file.read():
            keys.append(_short(_head.decode(b"{" + body).request))
            starts.append(start)
            lengths.append(length)
        order = np.argsort(np.asarray(keys, dtype=np.uint64), kind="stable")
        self._keys = np.asarray(keys, dtype=np.uint64)[order]
        self._starts = np.asarray(starts, dtype=np.uint64)[order]
        self._lengths = np.asarray(lengths, dtype=np.uint32)[order]
        self._recent: dict[str, Place] = {}
        self._older: dict[str, Place] = {}

    def find(self, key: str) -> Result | None:
        """The stored answer to a request, if there is one and it is sound.

        Of the answers kept by this object only the latest tens of thousands are found.
        """
        place = self._recent.get(key) or self._older.get(key) or self._before(key)
        body = None if place is None else self.file.at(place)
        if body is None:
            return None
        line = _line.decode(b"{" + body)
        if line.request != key:
            return None
        return line.result if isinstance(line, _ChatLine) else _labels(line.result)

    def keep(self, key: str, result: Result) -> None:
        """Stores an answer before any component sees it.

        Raises:
            RunError: If the disk is full.
        """
        if isinstance(result, ChatResult):
            kind, stored = b"chat", _encode(result)
        else:
            kind, stored = b"label", _encode(_storable(result))
        head = b'{"kind":"%b","request":"%b","result":' % (kind, key.encode())
        if len(self._recent) >= _RECENT:
            self._older, self._recent = self._recent, {}
        self._recent[key] = self.file.append(head, stored, b"}")

    def close(self) -> None:
        """Closes the file."""
        self.file.close()

    def _before(self, key: str) -> Place | None:
        """Where the answer of an earlier process lies."""
        if not len(self._keys):
            return None
        short = _short(key)
        at = int(np.searchsorted(self._keys, np.uint64(short)))
        if at == len(self._keys) or int(self._keys[at]) != short:
            return None
        return int(self._starts[at]), int(self._lengths[at])


def _short(key: str) -> int:
    return int(key[:_PREFIX], 16)


def _storable(result: LabelResult) -> Any:
    if -math.inf not in result.logprobs:
        return result
    logprobs = [None if each == -math.inf else each for each in result.logprobs]
    return _StoredLabels(logprobs, result.mass, result.prompt_tokens)


def _labels(stored: _StoredLabels) -> LabelResult:
    logprobs = tuple(-math.inf if each is None else each for each in stored.logprobs)
    return LabelResult(logprobs, stored.mass, stored.prompt_tokens)
