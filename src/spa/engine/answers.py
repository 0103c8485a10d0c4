"""Keeps every raw answer of a model, apart from what components make of it.

An answer is found by the request that it answers, so resuming a stage, or parsing again with a
mended parser, asks a model only for what is missing.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from spa.engine.lines import LineFile
from spa.types import ChatResult, LabelResult, Request, Result

__all__ = ["AnswerLog", "request_key"]

_REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
_CHAT = TypeAdapter(ChatResult)
_LABEL = TypeAdapter(LabelResult)


def request_key(request: Request) -> str:
    """The sha256 of a request with its seed."""
    kind = type(request).__name__
    return hashlib.sha256(kind.encode() + _REQUEST.dump_json(request)).hexdigest()


class AnswerLog:
    """The answers of one model to one stage, on disk and in memory."""

    def __init__(self, path: Path) -> None:
        """Opens the log and reads what is there.

        Raises:
            RunError: If the folder cannot be written.
        """
        self._file = LineFile(path)
        self._known: dict[str, Result] = {}
        for line in self._file.read():
            read = _CHAT.validate_python if line["kind"] == "chat" else _read_label
            self._known[line["request"]] = read(line["result"])

    def find(self, key: str) -> Result | None:
        """The stored answer to a request, if there is one."""
        return self._known.get(key)

    def keep(self, key: str, result: Result) -> None:
        """Stores an answer before any component sees it.

        Raises:
            RunError: If the disk is full.
        """
        chat = isinstance(result, ChatResult)
        body = (
            _CHAT.dump_json(result) if isinstance(result, ChatResult) else _LABEL.dump_json(result)
        )
        kind = b"chat" if chat else b"label"
        self._file.append(b'{"kind":"%s","request":"%s","result":%s}' % (kind, key.encode(), body))
        self._known[key] = result

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _read_label(found: dict[str, Any]) -> LabelResult:
    """JSON knows no infinity: the logarithm of probability 0 is written as null."""
    logprobs = [-math.inf if each is None else each for each in found["logprobs"]]
    return _LABEL.validate_python({**found, "logprobs": logprobs})
