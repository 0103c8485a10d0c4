"""Drives the first jobs of a stage with stand-ins for answers, to count what the stage will ask.

No model is asked. An answer that is in the store already is taken, as a run would take it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from spa.engine.answers import decoded_answer, request_key
from spa.engine.asking import Job, Tally, drive
from spa.engine.lines import unseal
from spa.types import ChatRequest, ChatResult, LabelRequest, LabelResult, Request, Result

__all__ = ["JOBS", "StoredAnswers", "Trial", "try_out"]

T = TypeVar("T")

JOBS = 3
"""Jobs of a stage that are tried out."""

CHARACTERS = 4
"""Characters that are taken for a token of a prompt."""

_LOOKED_AT = 4 << 20
_MASS = 0.9
_WORDS = "word " * 2000


@dataclass(slots=True)
class Trial:
    """What the first jobs of a stage came to.

    Attributes:
        jobs: How many were tried.
        asked: Requests without an answer in the store.
        replayed: Requests with one.
        prompt_tokens: Of all requests, estimated.
        new_tokens: Of all requests, as many as are allowed.
        finished: The jobs with what they returned.
    """

    jobs: int
    asked: int
    replayed: int
    prompt_tokens: int
    new_tokens: int
    finished: tuple[tuple[Job[Any], Any], ...]


class StoredAnswers:
    """The first answers of a stage that are in the store; nothing is written."""

    def __init__(self, folder: Path) -> None:
        """Reads the first part of the file.

        Args:
            folder: Of the answers; it need not be there.
        """
        self._file = folder / "part-00000.jsonl"
        self._bodies: dict[str, bytes] = {}
        self._read = self._size = 0
        try:
            self._size = self._file.stat().st_size
            with self._file.open("rb") as file:
                content = file.read(_LOOKED_AT)
        except OSError:
            return
        for line in content.split(b"\n")[:-1]:
            self._read += len(line) + 1
            body = unseal(line)
            if body is not None:
                self._bodies[_head.decode(b"{" + body).request] = body

    @property
    def count(self) -> int:
        """About how many answers there are."""
        return round(len(self._bodies) * self._size / self._read) if self._read else 0

    @property
    def bytes_each(self) -> float | None:
        """Mean size of an answer on disk; None if there is none."""
        return self._read / len(self._bodies) if self._bodies else None

    def find(self, key: str) -> Result | None:
        """An answer among the first ones."""
        body = self._bodies.get(key)
        return None if body is None else decoded_answer(b"{" + body)

    def keep(self, key: str, result: Result) -> None:
        """Keeps nothing."""
        del key, result


class _Head(msgspec.Struct):
    """The key of a line; the rest of it is skipped."""

    request: str


_head = msgspec.json.Decoder(_Head)


def try_out(jobs: Iterable[Job[T]], answers: StoredAnswers, *, seed: int, stage: str) -> Trial:
    """Drives the first jobs.

    Args:
        jobs: Of the stage.
        answers: Those in the store.
        seed: The run's seed.
        stage: What random numbers are derived from.
    """
    stand_in = _StandIn()
    tally = Tally()
    first = list(_first(jobs))
    ended = drive(
        first, lambda: stand_in, _Counted(answers, stand_in), seed=seed, stage=stage, tally=tally
    )
    finished = tuple((each.job, each.value) for each in ended if each.failure is None)
    return Trial(
        len(first),
        tally.asked,
        tally.replayed,
        stand_in.prompt_tokens,
        stand_in.new_tokens,
        finished,
    )


def _first(jobs: Iterable[Job[T]]) -> Iterator[Job[T]]:
    """The first jobs; of examples, rows of some stages may end before those of others."""
    each = iter(jobs)
    for place in range(JOBS):
        try:
            job = next(each)
        except (StopIteration, AssertionError):
            return
        yield Job(job.id, job.start, place, job.prompt_id)


class _Counted:
    """Stored answers; what is found there counts like what is asked."""

    def __init__(self, answers: StoredAnswers, stand_in: _StandIn) -> None:
        self._answers, self._stand_in = answers, stand_in

    def find(self, key: str) -> Result | None:
        found = self._answers.find(key)
        if found is not None:
            self._stand_in.prompt_tokens += found.prompt_tokens
            self._stand_in.new_tokens += found.generated if isinstance(found, ChatResult) else 1
        return found

    def keep(self, key: str, result: Result) -> None:
        del key, result


class _StandIn:
    """Answers at once, and notes what a model would have to do."""

    def __init__(self) -> None:
        self.prompt_tokens = self.new_tokens = 0

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        for place, request in enumerate(requests):
            characters = sum(len(message.content) for message in request.messages)
            tokens = math.ceil((characters + len(request.prefill)) / CHARACTERS)
            self.prompt_tokens += tokens
            yield place, self._answer(request, tokens)

    def _answer(self, request: Request, tokens: int) -> Result:
        if isinstance(request, ChatRequest):
            self.new_tokens += request.max_tokens
            text = _WORDS[: request.max_tokens * CHARACTERS].strip() or "word"
            return ChatResult(text, (), "length", tokens, new_tokens=request.max_tokens)
        self.new_tokens += 1
        return _labels(request, tokens)

    def fingerprint(self) -> str:
        return ""

    def close(self) -> None:
        return


def _labels(request: LabelRequest, tokens: int) -> LabelResult:
    """One label stands out, and which one differs from request to request, so that pairs arise."""
    count = len(request.labels)
    chosen = crc32(request_key(request).encode()) % count
    rest = (1 - _MASS) / max(count - 1, 1)
    masses = [_MASS if place == chosen else rest for place in range(count)]
    return LabelResult(tuple(math.log(each) for each in masses), sum(masses), tokens)
