"""The driver: many generators at once, answers batched, kept and replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from spa.api import (
    Asks,
    ChatRequest,
    ChatResult,
    Message,
    Request,
    RequestError,
    RequestFailure,
    Result,
    Waiting,
    chat,
    chat_all,
)
from spa.engine.asking import Job, Tally, drive
from spa.errors import RunError, SpaError


def ask(text: str, seed: int | None = 1) -> ChatRequest:
    return ChatRequest((Message("user", text),), seed=seed)


class Echo:
    """Answers in reverse order, with the request's text in capitals."""

    def __init__(self, fail: Callable[[str], bool] = lambda text: False) -> None:
        self.calls: list[list[Request]] = []
        self.fail = fail

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        self.calls.append(list(requests))
        for place in reversed(range(len(requests))):
            text = requests[place].messages[-1].content
            if self.fail(text):
                yield place, RequestFailure("too_long", f"{text} is too long")
            else:
                yield place, ChatResult(text.upper(), (1, 2), "stop", 3)

    def fingerprint(self) -> str:
        return "echo"

    def close(self) -> None:
        pass


class Memory(dict[str, Result]):
    def find(self, key: str) -> Result | None:
        return self.get(key)

    def keep(self, key: str, result: Result) -> None:
        self[key] = result


def two_rounds(name: str) -> Asks[str]:
    first = yield from chat(ask(name))
    both = yield from chat_all([ask(first.text + "1"), ask(first.text + "2")])
    return " ".join(result.text for result in both)


def run(
    jobs: list[Job[Any]], backend: Echo, memory: Memory | None = None, **settings: Any
) -> dict[str, Any]:
    found = drive(
        jobs, lambda: backend, Memory() if memory is None else memory, seed=0, stage="s", **settings
    )
    return {f.job.id: f.failure or f.value for f in found}


def jobs_of(names: str) -> list[Job[str]]:
    return [Job(name, lambda name=name: two_rounds(name)) for name in names]  # type: ignore[misc]


def test_requests_of_all_rows_are_answered_together() -> None:
    backend = Echo()
    assert run(jobs_of("abc"), backend) == {n: f"{n.upper()}1 {n.upper()}2" for n in "abc"}
    assert [len(call) for call in backend.calls] == [3, 6]


@pytest.mark.parametrize("window", [1, 2, 5, 100])
def test_the_window_bounds_what_is_under_way_and_changes_no_result(window: int) -> None:
    backend = Echo()
    names = "abcdefghij"
    found = run(jobs_of(names), backend, window=window)
    assert found == {n: f"{n.upper()}1 {n.upper()}2" for n in names}
    assert max(len(call) for call in backend.calls) <= 2 * window


def test_a_component_that_asks_nothing_just_returns() -> None:
    def no_backend() -> Any:
        raise AssertionError("nothing was asked")

    found = list(drive([Job("a", lambda: 7)], no_backend, Memory(), seed=0, stage="s"))
    assert [(f.job.id, f.value) for f in found] == [("a", 7)]


def test_stored_answers_are_replayed_and_only_what_is_missing_is_asked() -> None:
    memory = Memory()
    run(jobs_of("ab"), Echo(), memory)
    backend, tally = Echo(), Tally()
    found = run(jobs_of("abc"), backend, memory, tally=tally)
    assert found["a"] == "A1 A2"
    asked = [request.messages[0].content for call in backend.calls for request in call]
    assert asked == ["c", "C1", "C2"]
    assert (tally.replayed, tally.asked, tally.prompt_tokens, tally.new_tokens) == (6, 3, 9, 6)


def test_a_request_that_fails_sets_its_row_aside_and_no_other() -> None:
    found = run(jobs_of("abc"), Echo(lambda text: text == "B2"))
    assert found["b"] == RequestFailure("too_long", "B2 is too long")
    assert found["a"] == "A1 A2"
    assert found["c"] == "C1 C2"


def test_a_component_may_catch_a_failed_request_and_go_on() -> None:
    def careful() -> Asks[str]:
        try:
            result = yield from chat(ask("x"))
        except RequestError as error:
            result = yield from chat(ask(error.failure.reason))
        return result.text

    assert run([Job("a", careful)], Echo(lambda text: text == "x")) == {"a": "TOO_LONG"}


def test_a_component_that_breaks_sets_its_row_aside_with_the_cause() -> None:
    def broken() -> Asks[str]:
        yield from chat(ask("x"))
        raise KeyError("oops")

    found = run([Job("a", broken), *jobs_of("b")], Echo())
    assert found["a"] == RequestFailure("component_error", "KeyError: 'oops'")
    assert found["b"] == "B1 B2"


def test_an_error_that_concerns_all_rows_ends_the_stage() -> None:
    def hopeless() -> Asks[str]:
        yield from chat(ask("x"))
        raise SpaError("nothing will work")

    with pytest.raises(SpaError, match="nothing will work"):
        run([Job("a", hopeless)], Echo())


def test_a_backend_that_forgets_a_request_is_named() -> None:
    class Forgetful(Echo):
        def answer(
            self, requests: Sequence[Request]
        ) -> Iterator[tuple[int, Result | RequestFailure]]:
            yield from list(super().answer(requests))[:-1]

    with pytest.raises(RunError, match="the backend left 1 requests unanswered"):
        run(jobs_of("ab"), Forgetful())


def test_every_request_without_a_seed_gets_one_of_its_own() -> None:
    def unseeded() -> Asks[str]:
        yield from chat_all([ask("x", None), ask("x", None)])
        yield from chat(ask("x", None))
        return ""

    def seeds(names: str) -> list[int | None]:
        backend = Echo()
        run([Job(name, unseeded) for name in names], backend)
        found = [r.seed for call in backend.calls for r in call if isinstance(r, ChatRequest)]
        return sorted(seed for seed in found if seed is not None)

    assert len(set(seeds("ab"))) == 6
    assert seeds("ab") == seeds("ba")


@pytest.mark.parametrize("wrong", [None, "text", ["text"], [None]])
def test_what_is_no_request_sets_its_row_aside(wrong: Any) -> None:
    def confused() -> Any:
        yield wrong

    failure = run([Job("a", confused), *jobs_of("b")], Echo())["a"]
    assert failure.reason == "component_error"
    assert failure.message.startswith("TypeError: a component asks by yielding requests, not ")


@pytest.mark.parametrize("place", [0, 7])
def test_a_backend_that_answers_a_place_twice_or_none_is_named(place: int) -> None:
    class Confused(Echo):
        def answer(
            self, requests: Sequence[Request]
        ) -> Iterator[tuple[int, Result | RequestFailure]]:
            yield from super().answer(requests)
            yield place, ChatResult("", (), "stop", 0)

    with pytest.raises(RunError, match=f"answered request {place}, which does not wait"):
        run(jobs_of("a"), Confused())


class Streaming(Echo):
    """Keeps ``room`` requests under way and answers the one taken last first."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.most = 0

    def stream(self, waiting: Waiting) -> Iterator[tuple[int, Result | RequestFailure]]:
        under_way: list[tuple[int, Request]] = []
        while True:
            if len(under_way) < self.room:
                under_way += waiting.take(self.room - len(under_way))
            self.most = max(self.most, len(under_way))
            if not under_way:
                return
            number, request = under_way.pop()
            yield number, ChatResult(request.messages[-1].content.upper(), (1,), "stop", 3)


def test_a_backend_that_streams_takes_what_it_has_room_for() -> None:
    names = "abcdefgh"
    backend, begun = Streaming(room=3), 0

    def jobs() -> Iterator[Job[str]]:
        nonlocal begun
        for job in jobs_of(names):
            begun += 1
            yield job

    most_ahead = 0
    ended = 0
    for _ in drive(jobs(), lambda: backend, Memory(), seed=0, stage="s"):
        ended += 1
        most_ahead = max(most_ahead, begun - ended)
    assert ended == len(names)
    assert backend.most == 3
    assert most_ahead <= 3


@pytest.mark.parametrize("room", [1, 2, 50])
def test_streaming_changes_no_result_and_replays_stored_answers(room: int) -> None:
    expected = run(jobs_of("abc"), Echo())
    memory, tally = Memory(), Tally()
    assert run(jobs_of("abc"), Streaming(room), memory, tally=tally) == expected
    assert (tally.asked, tally.replayed) == (9, 0)
    assert run(jobs_of("abcd"), Streaming(room), memory, tally=tally) == run(
        jobs_of("abcd"), Echo()
    )
    assert (tally.asked, tally.replayed) == (12, 9)


def test_what_streams_is_closed_when_its_rows_are_not_wanted_any_more() -> None:
    class Closing(Streaming):
        closed = False

        def stream(self, waiting: Waiting) -> Iterator[tuple[int, Result | RequestFailure]]:
            try:
                yield from super().stream(waiting)
            finally:
                self.closed = True

    backend = Closing(1)
    rows = drive(jobs_of("abc"), lambda: backend, Memory(), seed=0, stage="s")
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert backend.closed


def test_a_stream_that_forgets_or_invents_a_request_is_named() -> None:
    class Inventive(Streaming):
        def stream(self, waiting: Waiting) -> Iterator[tuple[int, Result | RequestFailure]]:
            waiting.take(1)
            yield 77, ChatResult("", (), "stop", 0)

    class Forgetful(Streaming):
        def stream(self, waiting: Waiting) -> Iterator[tuple[int, Result | RequestFailure]]:
            waiting.take(1)
            yield from ()

    with pytest.raises(RunError, match="answered request 77, which does not wait"):
        run(jobs_of("a"), Inventive(1))
    with pytest.raises(RunError, match="left 1 requests unanswered"):
        run(jobs_of("a"), Forgetful(1))


def test_a_backend_that_takes_nothing_is_not_asked_forever() -> None:
    class Idle(Echo):
        def stream(self, waiting: Waiting) -> Iterator[tuple[int, Result | RequestFailure]]:
            return iter(())

    with pytest.raises(RunError, match="the backend took no request although some wait"):
        run(jobs_of("ab"), Idle())
