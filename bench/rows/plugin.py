"""A plugin with a model that answers at once and a source of as many prompts as one likes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from spa.api import (
    ChatRequest,
    ChatResult,
    Component,
    ComponentConfig,
    LabelResult,
    Message,
    NotInKey,
    Prompt,
    Request,
    Result,
    Waiting,
    hookimpl,
)

__all__ = ["CountedPrompts", "Instant", "InstantConfig", "NumbersConfig"]

_TEXT = "Take a breath, write down what happened, and call someone whom you trust. " * 4
_IDS = tuple(range(1000, 1064))
_FEW = (-0.1, -3.0, -3.5, -4.0, -4.5, -5.0, -5.5, -6.0, -6.5)
_DIFFERENT = 10_007
_ROOM = 512


class InstantConfig(ComponentConfig):
    """Nothing to set but what the engine asks of a policy."""

    path: Annotated[str, NotInKey("there is no model")] = "nowhere"
    adapter: str | None = None


class Instant:
    """Answers with 64 tokens, or with one of nine distributions of labels.

    All answers are there from the start, so that the engine's time is measured and not its own.
    """

    remote = True

    def __init__(self, config: InstantConfig) -> None:
        """Makes the answers."""
        del config
        turns = [_FEW[turn:] + _FEW[:turn] for turn in range(len(_FEW))]
        self._labels = [LabelResult(turn, 1.0, 400) for turn in turns]
        self._texts = [
            ChatResult(f"{number}. {_TEXT}", _IDS, "stop", 40) for number in range(_DIFFERENT)
        ]

    def stream(self, waiting: Waiting) -> Iterator[tuple[int, Result]]:
        """Answers whatever waits."""
        while taken := waiting.take(_ROOM):
            for number, request in taken:
                yield number, self._answer(number, request)

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        """Answers in order."""
        for place, request in enumerate(requests):
            yield place, self._answer(place, request)

    def _answer(self, number: int, request: Request) -> Result:
        if isinstance(request, ChatRequest):
            return self._texts[number % _DIFFERENT]
        return self._labels[number * 7 % len(_FEW)]

    def fingerprint(self) -> str:
        """Always the same model."""
        return "instant"

    def tokenizer_fingerprint(self) -> str:
        """Always the same tokenizer."""
        return "instant"

    def close(self) -> None:
        """There is nothing to close."""


class NumbersConfig(ComponentConfig):
    """How many prompts."""

    count: int = Field(ge=1)


class CountedPrompts:
    """Prompts that differ in a number."""

    def __init__(self, config: NumbersConfig) -> None:
        """Keeps the number."""
        self._count = config.count

    def prompts(self) -> Iterator[Prompt]:
        """Yields them; none is held."""
        for number in range(self._count):
            text = f"Case {number}: I have not slept for days and nobody listens. What can I do?"
            yield Prompt(f"p{number}", (Message("user", text),), meta={"category": "health"})

    def fingerprint(self) -> str:
        """They follow from their number."""
        return str(self._count)


@hookimpl
def spa_backends() -> list[Component]:
    """Announces the model."""
    return [
        Component(
            name="instant",
            impl="rows.plugin:Instant",
            config="rows.plugin:InstantConfig",
            summary="Answers at once",
        )
    ]


@hookimpl
def spa_sources() -> list[Component]:
    """Announces the prompts."""
    return [
        Component(
            name="numbers",
            impl="rows.plugin:CountedPrompts",
            config="rows.plugin:NumbersConfig",
            summary="As many prompts as one likes",
        )
    ]
