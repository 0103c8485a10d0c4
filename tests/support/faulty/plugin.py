"""A plugin with a model whose weights can be trained but whose answers follow from the request."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from spa.api import (
    ChatRequest,
    ChatResult,
    Component,
    ComponentConfig,
    LabelResult,
    NotInKey,
    Request,
    RequestFailure,
    Result,
    Waiting,
    hookimpl,
)

_ROOM = 4
_LETTERS = "abcdefghijklmnop"
_END = 256  # the end token of the tiny tokenizer, which has a token a byte

say = ""
"""Makes it another model, although it does not say so."""

log: Path | None = None
"""Where every request that is answered is noted."""


class OracleConfig(ComponentConfig):
    """Where the weights lie that training starts from."""

    path: str
    adapter: Annotated[str | None, NotInKey("the content is hashed")] = None


class Oracle:
    """Answers from a hash of the request and of its own weights."""

    remote = True

    def __init__(self, config: OracleConfig) -> None:
        self._config = config

    def stream(self, waiting: Waiting) -> Iterator[tuple[int, Result | RequestFailure]]:
        """A few requests at a time, the later ones first."""
        me = self.fingerprint()
        while taken := waiting.take(_ROOM):
            for number, request in reversed(taken):
                _note(me, request)
                yield number, answer(me, request)

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        """In order."""
        me = self.fingerprint()
        for place, request in enumerate(requests):
            _note(me, request)
            yield place, answer(me, request)

    def fingerprint(self) -> str:
        from spa.models.identity import fingerprint
        from spa.models.spec import ModelSpec

        return fingerprint(ModelSpec(self._config.path, "float32", self._config.adapter))

    def close(self) -> None:
        pass


def answer(model: str, request: Request) -> Result:
    """What a model answers: the same whenever it is asked."""
    from spa.engine.answers import request_key

    digest = hashlib.sha256(f"{say}{model} {request_key(request)}".encode()).digest()
    if isinstance(request, ChatRequest):
        text = "".join(_LETTERS[byte % 16] for byte in digest[: 4 + digest[0] % 20])
        return ChatResult(text, (*text.encode(), _END), "stop", 10)
    weights = [1 + digest[place] for place in range(len(request.labels))]
    logprobs = tuple(math.log(weight / sum(weights)) for weight in weights)
    return LabelResult(logprobs, 1.0, 20)


def _note(model: str, request: Request) -> None:
    from spa.engine.answers import request_key

    if log is None:
        return
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{os.getpid()} {time.monotonic()} {model} {request_key(request)}\n".encode())
    os.close(file)


@hookimpl
def spa_backends() -> list[Component]:
    return [
        Component(
            name="oracle",
            impl="faulty.plugin:Oracle",
            config="faulty.plugin:OracleConfig",
            summary="Answers from a hash of the request",
        )
    ]
