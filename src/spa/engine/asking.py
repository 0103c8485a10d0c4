"""Drives components that ask: many generators at once, their requests batched across rows.

A job is one row's work. The driver starts jobs, hands what they ask to the backend, and resumes
each generator as soon as its own answers are in. A backend that streams takes requests whenever it
has room; any other gets what waits, of a window of jobs, together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from inspect import isgenerator
from itertools import count
from typing import Any, Generic, Protocol, TypeVar, cast

from spa.contracts import Backend, Returns, Waiting
from spa.engine.answers import SeededKeys
from spa.engine.keys import SeedsBelow
from spa.engine.making import maker
from spa.errors import RequestError, RunError, SpaError
from spa.types import ChatRequest, ChatResult, LabelRequest, Request, RequestFailure, Result

__all__ = ["Finished", "Job", "Memory", "Tally", "drive"]

T = TypeVar("T")
_Streaming = Callable[[Waiting], Iterator[tuple[int, Result | RequestFailure]]]

_make_request = maker(ChatRequest)
_FINISHED_HELD = 256  # jobs that ended at once, with stored answers: hand them on first


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """One row's work.

    Attributes:
        id: Unique in its stage, and stable.
        start: Starts the component on it.
        place: Its place among all jobs of the stage, from 0; the engine fills it in.
        prompt_id: The prompt that it is about, where the id does not say.
    """

    id: str
    start: Callable[[], Returns[T]]
    place: int = 0
    prompt_id: str = ""


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


@dataclass(slots=True)
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
        jobs: The work, taken lazily.
        backend: Gives the backend; called only when something must be asked.
        memory: Stored answers; what is found there is not asked.
        seed: The run's seed, from which requests without one get theirs.
        stage: Part of the seed's derivation, so that stages do not share random numbers.
        tally: Counts what was asked.
        window: Most jobs under way at once for a backend that does not stream; one that does has
            as many as it takes.

    Raises:
        SpaError: What the backend raises when no request of this kind can be answered.
    """
    driver: _Driver[T] = _Driver(iter(jobs), memory, seed, stage, tally or Tally())
    while True:
        yield from driver.until_asked()
        if not driver.asks:
            return
        answers = _stream(backend(), driver, window)
        idle = True
        with closing(answers):  # at once, as an engine may have work under way
            for number, result in answers:
                idle = False
                driver.receive(number, result)
                yield from driver.take_finished()
        if left := driver.unanswered:
            raise RunError(
                f"the backend left {left} requests unanswered. "
                "This is a fault of the backend; what it answered is kept."
            )
        if idle:  # it would be asked again and again
            raise RunError(
                "the backend took no request although some wait. "
                "This is a fault of the backend; what it answered is kept."
            )


def _stream(
    backend: Backend, driver: _Driver[Any], window: int
) -> Generator[tuple[int, Result | RequestFailure]]:
    """What a backend answers, each with the number of its request."""
    stream: _Streaming | None = getattr(backend, "stream", None)
    if stream is not None:
        yield from stream(driver)
        return
    questions = driver.take_jobs(window)
    for place, result in backend.answer([request for _, request in questions]):
        if not 0 <= place < len(questions):
            raise RunError(_wrong_number(place))
        yield questions[place][0], result


def _wrong_number(number: int) -> str:
    return (
        f"the backend answered request {number}, which does not wait for an answer. "
        "This is a fault of the backend; what it answered is kept."
    )


class _Driver(Generic[T]):
    """The generators under way and the questions that they wait for; a `Waiting`."""

    def __init__(
        self, jobs: Iterator[Job[T]], memory: Memory, seed: int, stage: str, tally: Tally
    ) -> None:
        self.jobs = jobs
        self.memory = memory
        self.seed = seed
        self.stage = stage
        self.tally = tally
        self.active = 0
        self._exhausted = False
        self._numbers = count()
        self._keys = SeededKeys()
        self._questions: deque[_Question] = deque()
        self._asked: dict[int, _Question] = {}
        self._finished: deque[Finished[T]] = deque()

    @property
    def unanswered(self) -> int:
        """How many questions were taken and have no answer."""
        return len(self._asked)

    @property
    def asks(self) -> bool:
        """Whether questions wait that were not taken yet."""
        return bool(self._questions)

    def until_asked(self) -> Iterator[Finished[T]]:
        """Begins jobs until one asks something that is not known; yields those that ended."""
        while not self._questions and self._begin():
            yield from self.take_finished()
        yield from self.take_finished()

    def take(self, most: int) -> Sequence[tuple[int, Request]]:
        """Up to ``most`` questions with their numbers; jobs are begun as there is room."""
        while len(self._questions) < most and len(self._finished) < _FINISHED_HELD:
            if not self._begin():
                break
        return self._give(most)

    def take_jobs(self, window: int) -> Sequence[tuple[int, Request]]:
        """All that waits when up to ``window`` jobs are under way."""
        while self.active < window and self._begin():
            pass
        return self._give(len(self._questions))

    def take_finished(self) -> Iterator[Finished[T]]:
        """The jobs that ended since the last call."""
        while self._finished:
            yield self._finished.popleft()

    def receive(self, number: int, result: Result | RequestFailure) -> None:
        """Takes an answer in, and resumes its generator when it was the last one missing.

        Raises:
            RunError: If no question of this number waits.
        """
        question = self._asked.pop(number, None)
        if question is None:
            raise RunError(_wrong_number(number))
        if not isinstance(result, RequestFailure):
            self.memory.keep(question.key, result)
            self.tally.asked += 1
            self.tally.prompt_tokens += result.prompt_tokens
            self.tally.new_tokens += result.generated if isinstance(result, ChatResult) else 1
        active = question.active
        active.answers[question.place] = result
        active.missing -= 1
        if active.missing == 0:
            self._resume(active)

    def _give(self, most: int) -> list[tuple[int, Request]]:
        given: list[tuple[int, Request]] = []
        while self._questions and len(given) < most:
            number, question = next(self._numbers), self._questions.popleft()
            self._asked[number] = question
            given.append((number, question.request))
        return given

    def _begin(self) -> bool:
        """Begins the next job, if there is one."""
        job = None if self._exhausted else next(self.jobs, None)
        if job is None:
            self._exhausted = True
            return False
        try:
            begun = job.start()
        except Exception as error:
            self._finished.append(Finished(job, None, _component_failure(error)))
            return True
        if isgenerator(begun):
            self.active += 1
            self._advance(_Active(job, cast("Generator[Any, Any, T]", begun)), None)
        else:
            self._finished.append(Finished(job, begun))  # type: ignore[arg-type]  # the value itself
        return True

    def _resume(self, active: _Active[T]) -> None:
        failure = next((a for a in active.answers if isinstance(a, RequestFailure)), None)
        if failure is not None:
            self._advance(active, RequestError(failure))
        else:
            self._advance(active, active.answers[0] if active.single else active.answers)

    def _advance(self, active: _Active[T], sent: object) -> None:
        """Sends answers in until the generator must wait or ends."""
        while True:
            try:
                if isinstance(sent, RequestError):
                    asked = active.generator.throw(sent)
                else:
                    asked = active.generator.send(sent)
            except StopIteration as stop:
                self._end(Finished(active.job, stop.value))
                return
            except RequestError as error:
                self._end(Finished(active.job, None, error.failure))
                return
            except Exception as error:
                self._end(Finished(active.job, None, _component_failure(error)))
                return
            try:
                waits = self._ask(active, asked)
            except TypeError as error:
                active.generator.close()
                self._end(Finished(active.job, None, _component_failure(error)))
                return
            if waits:
                return
            sent = active.answers[0] if active.single else list(active.answers)

    def _end(self, finished: Finished[T]) -> None:
        self.active -= 1
        self._finished.append(finished)

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
        seeds = SeedsBelow(self.seed, self.stage, active.job.id, active.rounds)
        for place, bare in enumerate(requests):
            request = _seeded(bare, seeds, place)
            key = self._keys.of(bare, request)
            stored = self.memory.find(key)
            if stored is not None:
                self.tally.replayed += 1
                active.answers[place] = stored
            else:
                active.missing += 1
                self._questions.append(_Question(active, place, request, key))
        active.rounds += 1
        return active.missing > 0


def _seeded(request: Request, seeds: SeedsBelow, place: int) -> Request:
    """The request with a seed: its own, or one derived from its place."""
    if not isinstance(request, ChatRequest) or request.seed is not None:
        return request
    # Written out, as this is done for every row and `replace` takes much longer.
    return _make_request(
        request.messages,
        request.max_tokens,
        request.temperature,
        request.top_p,
        seeds.seed(place),
        request.prefill,
    )


def _component_failure(error: Exception) -> RequestFailure:
    """A row that its component could not do.

    Raises:
        SpaError: Given back as it is: it says that no row can be done.
    """
    if isinstance(error, SpaError):
        raise error
    return RequestFailure("component_error", f"{type(error).__name__}: {error}")
