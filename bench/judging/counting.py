"""A backend around another one, which counts what goes through and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from spa.contracts import Backend, Waiting
from spa.types import ChatResult, Request, RequestFailure, Result

__all__ = ["Counting"]

Answers = Iterator[tuple[int, Result | RequestFailure]]


@dataclass(slots=True)
class Counting:
    """Passes everything on, and has a method `stream` if the backend has one.

    Attributes:
        inner: The backend that answers.
        prompt_tokens: Of everything answered.
        new_tokens: The same.
        lengths: New tokens of every answer.
        failures: Why requests had no answer.
    """

    inner: Backend
    prompt_tokens: int = 0
    new_tokens: int = 0
    lengths: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def answer(self, requests: Sequence[Request]) -> Answers:
        """What the backend answers."""
        yield from self._counted(self.inner.answer(requests))

    def __getattr__(self, name: str) -> Callable[[Waiting], Answers]:
        """The backend's `stream`, counted."""
        if name != "stream":
            raise AttributeError(name)
        stream = getattr(self.inner, name)
        return lambda waiting: self._counted(stream(waiting))

    def _counted(self, answers: Answers) -> Answers:
        for number, result in answers:
            if isinstance(result, RequestFailure):
                self.failures.append(result.message)
            else:
                new = result.generated if isinstance(result, ChatResult) else 1
                self.prompt_tokens += result.prompt_tokens
                self.new_tokens += new
                self.lengths.append(new)
            yield number, result

    def fingerprint(self) -> str:
        """That of the backend."""
        return self.inner.fingerprint()

    def close(self) -> None:
        """Leaves the backend as it is."""
