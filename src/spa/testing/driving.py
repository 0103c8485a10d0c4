"""Runs components that ask, answering from a function or a list instead of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import GeneratorType
from typing import Generic, TypeAlias, TypeVar, cast

from spa.api import (
    Asks,
    ChatRequest,
    LabelRequest,
    Request,
    RequestError,
    RequestFailure,
    Result,
    Returns,
)
from spa.testing.replies import canned_reply

__all__ = ["Reply", "ScriptedBackend", "Trace", "answer", "drive", "trace"]

T = TypeVar("T")
Reply: TypeAlias = "Callable[[Request], Result | RequestFailure]"
"""Answers one request."""


@dataclass(frozen=True, slots=True)
class Trace(Generic[T]):
    """What a component did.

    Attributes:
        value: What it returned.
        rounds: The requests of each round; those of one round are answered side by side.
    """

    value: T
    rounds: tuple[tuple[Request, ...], ...]

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests, in the order in which they were asked."""
        return tuple(request for asked in self.rounds for request in asked)


def drive(asks: Returns[T], reply: Reply = canned_reply) -> T:
    """Runs a component to its end and returns its value.

    Args:
        asks: What its method returned: a generator that asks, or the value itself.
        reply: Answers each request. A `RequestFailure` is raised in the component as a
            `RequestError`, once its round is answered.
    """
    return trace(asks, reply).value


def answer(asks: Returns[T], replies: Iterable[Result | RequestFailure]) -> T:
    """Runs a component with answers given in the order of its requests.

    Raises:
        AssertionError: If it asks more or less than there are answers.
    """
    waiting = list(replies)
    given = len(waiting)

    def reply(request: Request) -> Result | RequestFailure:
        if not waiting:
            raise AssertionError(f"{given} replies were given, more are asked for: {request}")
        return waiting.pop(0)

    value = drive(asks, reply)
    if waiting:
        raise AssertionError(f"{given} replies were given, {len(waiting)} of them not asked for")
    return value


def trace(asks: Returns[T], reply: Reply = canned_reply) -> Trace[T]:
    """Like `drive`, and keeps what was asked.

    Raises:
        TypeError: If the component yields anything but requests.
    """
    if not isinstance(asks, GeneratorType):
        return Trace(cast("T", asks), ())
    running = cast("Asks[T]", asks)
    rounds: list[tuple[Request, ...]] = []
    try:
        asked = next(running)
        while True:
            several = _requests(asked)
            rounds.append(several)
            results = [reply(request) for request in several]
            failure = next((each for each in results if isinstance(each, RequestFailure)), None)
            if failure is not None:
                asked = running.throw(RequestError(failure))
            elif isinstance(asked, (ChatRequest, LabelRequest)):
                asked = running.send(cast("Result", results[0]))
            else:
                asked = running.send(cast("Sequence[Result]", results))
    except StopIteration as ended:
        return Trace(cast("T", ended.value), tuple(rounds))


class ScriptedBackend:
    """A backend that answers from a function; follows `spa.api.Backend`."""

    def __init__(self, reply: Reply = canned_reply, *, identity: str = "scripted") -> None:
        """Answers with ``reply``; ``identity`` is its fingerprint."""
        self.requests: list[Request] = []
        self.closed = False
        self._reply = reply
        self._identity = identity

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        """Yields the answers last to first: whoever relies on their order notices."""
        for place in reversed(range(len(requests))):
            self.requests.append(requests[place])
            yield place, self._reply(requests[place])

    def fingerprint(self) -> str:
        """The identity that was given."""
        return self._identity

    def close(self) -> None:
        """Notes that it was closed."""
        self.closed = True


def _requests(asked: object) -> tuple[Request, ...]:
    if isinstance(asked, (ChatRequest, LabelRequest)):
        return (asked,)
    several = tuple(asked) if isinstance(asked, (list, tuple)) else None
    if several is None or not all(isinstance(r, (ChatRequest, LabelRequest)) for r in several):
        raise TypeError(f"a component yields a request or a list of requests, not {asked!r}")
    return several
