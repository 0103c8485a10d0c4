"""Drives components that ask: many generators at once, their requests batched across rows.

A job is one row's work. The driver starts jobs up to a window, collects what they ask, has the
backend answer it all together, and resumes each generator as soon as its own answers are in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from inspect import isgenerator
from typing import Any, Generic, Protocol, TypeVar, cast

from spa.contracts import Backend, Returns
from spa.engine.answers import request_key
from spa.engine.keys import derive_seed
from spa.errors import RequestError, RunError, SpaError
from spa.types import ChatRequest, ChatResult, LabelRequest, Request, RequestFailure, Result

__all__ = ["Finished", "Job", "Memory", "Tally", "drive"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """One row's work: its id and what starts the component on it."""

    id: str
    start: Callable[[], Returns[T]]


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """A job that ended, with its value or the reason why there is none."""

    job: Job[T]
    value: T | None
    failure: RequestFailure | None = None


@dataclass(slots=True)
class Tally:
    """What was asked so far."""

    asked: int = 0
    replayed: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0


class Memory(Protocol):
    """Where answers are kept; see `spa.engine.answers.AnswerLog`."""

    def find(self, key: str) -> Result | None:
        """The stored answer to a request, if there is one."""
        ...

    def keep(self, key: str, result: Result) -> None:
        """Stores an answer."""
        ...


@dataclass(slots=True)
class _Active(Generic[T]):
    """A generator that waits for answers."""

    job: Job[T]
    generator: Generator[Any, Any, T]
    single: bool = True
    answers: list[Result | RequestFailure | None] = field(default_factory=list)
    missing: int = 0
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class _Question:
    """A request with the generator and the place in it that the answer goes to."""

    active: _Active[Any]
    place: int
    request: Request
    key: str


def drive(
    jobs: Iterable[Job[T]],
    backend: Callable[[], Backend],
    memory: Memory,
    *,
    seed: int,
    stage: str,
    tally: Tally | None = None,
    window: int = 256,
) -> Iterator[Finished[T]]:
    """Runs all jobs and yields each as it finishes.

    Args:
        jobs: The work, taken lazily, at most ``window`` at a time.
        backend: Gives the backend; called only when something must be asked.
        memory: Stored answers; what is found there is not asked.
        seed: The run's seed, from which requests without one get theirs.
        stage: Part of the seed's derivation, so that stages do not share random numbers.
        tally: Counts what was asked.
        window: Most jobs under way at once.

    Raises:
        SpaError: What the backend raises when no request of this kind can be answered.
    """
    driver: _Driver[T] = _Driver(memory, seed, stage, tally or Tally())
    waiting = iter(jobs)
    exhausted = False
    while True:
        while not exhausted and driver.active < window:
            job = next(waiting, None)
            if job is None:
                exhausted = True
            else:
                yield from driver.start(job)
        questions = driver.take_questions()
        if not questions:
            if exhausted and not driver.active:
                return
            continue
        unanswered = set(range(len(questions)))
        for place, result in backend().answer([question.request for question in questions]):
            if place not in unanswered:
                raise RunError(
                    f"the backend answered place {place} of {len(questions)} requests twice, or "
                    "there is no such place. This is a fault of the backend."
                )
            unanswered.remove(place)
            yield from driver.receive(questions[place], result)
        if unanswered:
            raise RunError(
                f"the backend left {len(unanswered)} of {len(questions)} requests unanswered. "
                "This is a fault of the backend; what it answered is kept."
            )


class _Driver(Generic[T]):
    """The generators under way and the questions that they wait for."""

    def __init__(self, memory: Memory, seed: int, stage: str, tally: Tally) -> None:
        self.memory = memory
        self.seed = seed
        self.stage = stage
        self.tally = tally
        self.active = 0
        self.questions: list[_Question] = []

    def take_questions(self) -> list[_Question]:
        """The questions that wait for an answer; they count as asked from now on."""
        taken, self.questions = self.questions, []
        return taken

    def start(self, job: Job[T]) -> Iterator[Finished[T]]:
        """Starts a job; yields it if it asks nothing."""
        try:
            begun = job.start()
        except Exception as error:
            yield Finished(job, None, _component_failure(error))
            return
        if not isgenerator(begun):
            yield Finished(job, begun)  # type: ignore[arg-type]  # not a generator, so the value itself
            return
        self.active += 1
        yield from self._advance(_Active(job, cast("Generator[Any, Any, T]", begun)), None)

    def receive(
        self, question: _Question, result: Result | RequestFailure
    ) -> Iterator[Finished[T]]:
        """Takes an answer in, and resumes its generator when it was the last one missing."""
        if not isinstance(result, RequestFailure):
            self.memory.keep(question.key, result)
            self.tally.asked += 1
            self.tally.prompt_tokens += result.prompt_tokens
            self.tally.new_tokens += len(result.token_ids) if isinstance(result, ChatResult) else 1
        active = question.active
        active.answers[question.place] = result
        active.missing -= 1
        if active.missing == 0:
            yield from self._resume(active)

    def _resume(self, active: _Active[T]) -> Iterator[Finished[T]]:
        failure = next((a for a in active.answers if isinstance(a, RequestFailure)), None)
        if failure is not None:
            yield from self._advance(active, RequestError(failure))
        else:
            yield from self._advance(active, active.answers[0] if active.single else active.answers)

    def _advance(self, active: _Active[T], sent: object) -> Iterator[Finished[T]]:
        """Sends answers in until the generator must wait or ends."""
        while True:
            try:
                if isinstance(sent, RequestError):
                    asked = active.generator.throw(sent)
                else:
                    asked = active.generator.send(sent)
            except StopIteration as stop:
                self.active -= 1
                yield Finished(active.job, stop.value)
                return
            except RequestError as error:
                self.active -= 1
                yield Finished(active.job, None, error.failure)
                return
            except Exception as error:
                self.active -= 1
                yield Finished(active.job, None, _component_failure(error))
                return
            try:
                waits = self._ask(active, asked)
            except TypeError as error:
                self.active -= 1
                active.generator.close()
                yield Finished(active.job, None, _component_failure(error))
                return
            if waits:
                return
            sent = active.answers[0] if active.single else list(active.answers)

    def _ask(self, active: _Active[T], asked: Request | Sequence[Request]) -> bool:
        """Notes what is asked; returns whether anything of it must wait for the backend."""
        active.single = not isinstance(asked, Sequence)
        requests = list(asked) if isinstance(asked, Sequence) else [asked]
        # Plugins may not be type-checked.
        odd = [r for r in requests if not isinstance(r, ChatRequest | LabelRequest)]  # type: ignore[redundant-expr]
        if odd:
            kind = type(odd[0]).__name__
            raise TypeError(f"a component asks by yielding requests, not {kind}")
        active.answers = [None] * len(requests)
        active.missing = 0
        for place, bare in enumerate(requests):
            request = self._seeded(bare, active, place)
            key = request_key(request)
            stored = self.memory.find(key)
            if stored is not None:
                self.tally.replayed += 1
                active.answers[place] = stored
            else:
                active.missing += 1
                self.questions.append(_Question(active, place, request, key))
        active.rounds += 1
        return active.missing > 0

    def _seeded(self, request: Request, active: _Active[T], place: int) -> Request:
        if not isinstance(request, ChatRequest) or request.seed is not None:
            return request
        seed = derive_seed(self.seed, self.stage, active.job.id, active.rounds, place)
        return replace(request, seed=seed)


def _component_failure(error: Exception) -> RequestFailure:
    """A row that its component could not do.

    Raises:
        SpaError: Given back as it is: it says that no row can be done.
    """
    if isinstance(error, SpaError):
        raise error
    return RequestFailure("component_error", f"{type(error).__name__}: {error}")
