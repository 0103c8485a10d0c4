"""What tests of components share: values made from plain numbers, and generators driven by hand."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import pytest

from spa.api import Group, Message, Objective, Prompt, Response, Score, Scored

Vector = Sequence[float | None]


def _objectives(count: int, **settings: Any) -> list[Objective]:
    return [Objective(name=f"o{k}", definition=f"definition {k}", **settings) for k in range(count)]


def _scored(identifier: str, vector: Vector, text: str | None = None) -> Scored:
    scores = {
        f"o{k}": Score(value, None if value is not None else "unparsable")
        for k, value in enumerate(vector)
    }
    text = f"an answer, {identifier}" if text is None else text
    return Scored(Response(text, token_ids=(1, 2), id=identifier, prompt_id="p"), scores)


def _group(samples: Sequence[Vector], refined: Vector | None = None) -> Group:
    return Group(
        prompt=Prompt("p", (Message("user", "a question"),)),
        samples=tuple(_scored(f"p/s{i}", vector) for i, vector in enumerate(samples)),
        refined=None if refined is None else _scored("p/r", refined),
    )


def _drive(asks: Generator[Any, Any, Any], *results: Any) -> tuple[list[Any], Any]:
    """Sends the results one after the other; gives what was asked and what was returned."""
    asked = []
    try:
        asked.append(next(asks))
        for result in results:
            asked.append(asks.throw(result) if isinstance(result, Exception) else asks.send(result))
    except StopIteration as end:
        return asked, end.value
    raise AssertionError(f"it asked again: {asked[-1]}")


@pytest.fixture(scope="session")
def make_objectives() -> Callable[..., list[Objective]]:
    """Objectives o0, o1, ... with the settings given."""
    return _objectives


@pytest.fixture(scope="session")
def make_scored() -> Callable[..., Scored]:
    """A response with a score vector."""
    return _scored


@pytest.fixture(scope="session")
def make_group() -> Callable[..., Group]:
    """A group from score vectors."""
    return _group


@pytest.fixture(scope="session")
def drive() -> Callable[..., tuple[list[Any], Any]]:
    """Answers a component that asks, without a model."""
    return _drive
