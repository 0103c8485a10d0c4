from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from spa.api import (
    Asks,
    Backend,
    ChatRequest,
    LabelRequest,
    Message,
    Request,
    RequestError,
    RequestFailure,
    chat,
    chat_all,
    label,
)
from spa.testing import (
    ScriptedBackend,
    answer,
    canned_reply,
    chat_result,
    drive,
    label_result,
    trace,
)

ASK = (Message("user", "Hm?"),)


def component() -> Asks[str]:
    first = yield from chat(ChatRequest(ASK))
    both = yield from chat_all([ChatRequest(ASK, seed=1), ChatRequest(ASK, seed=2)])
    labels = yield from label(LabelRequest(ASK, ("a", "b")))
    return " ".join([first.text, *(each.text for each in both), str(round(labels.mass, 2))])


def test_answers_come_in_the_order_of_the_requests() -> None:
    replies = [chat_result("x"), chat_result("y"), chat_result("z"), label_result([0.3, 0.6])]
    assert answer(component(), replies) == "x y z 0.9"


def test_too_few_or_too_many_replies_are_named() -> None:
    with pytest.raises(AssertionError, match=r"^1 replies were given, more are asked for: Chat"):
        answer(component(), [chat_result("x")])
    with pytest.raises(AssertionError, match=r"^2 replies were given, 2 of them not asked for$"):
        answer("done", [chat_result("x"), chat_result("y")])


def test_a_component_that_asks_nothing_just_returns() -> None:
    assert drive(5) == 5


def test_a_trace_keeps_the_rounds() -> None:
    found = trace(component())
    assert [len(asked) for asked in found.rounds] == [1, 2, 1]
    assert len(found.requests) == 4
    assert found == trace(component())


def test_a_failure_is_raised_where_it_was_asked() -> None:
    def careful() -> Asks[str]:
        try:
            yield from chat(ChatRequest(ASK))
        except RequestError as error:
            return error.failure.reason
        return "answered"

    assert answer(careful(), [RequestFailure("too_long", "m")]) == "too_long"
    with pytest.raises(RequestError, match="too_long: m"):
        answer(component(), [RequestFailure("too_long", "m")])


@pytest.mark.parametrize("yielded", ["text", [1], None])
def test_anything_but_requests_is_refused(yielded: object) -> None:
    def odd() -> Asks[None]:
        yield yielded  # type: ignore[misc]

    with pytest.raises(TypeError, match=r"^a component yields a request or a list of requests"):
        drive(odd())


def test_the_scripted_backend_is_a_backend_that_answers_out_of_order() -> None:
    backend = ScriptedBackend()
    assert isinstance(backend, Backend)
    requests: Sequence[Request] = [ChatRequest(ASK, seed=1), ChatRequest(ASK, seed=2)]
    answered = list(backend.answer(requests))
    assert [place for place, _ in answered] == [1, 0]
    assert dict(answered) == {0: canned_reply(requests[0]), 1: canned_reply(requests[1])}
    backend.close()
    assert backend.closed
    assert backend.fingerprint() == "scripted"


def test_results_are_consistent() -> None:
    assert chat_result("hi").token_ids == (104, 105, 0)
    assert chat_result("hi", finish_reason="length").token_ids == (104, 105)
    result = label_result([0.5, 0.0])
    assert result.mass == 0.5
    assert result.logprobs == (math.log(0.5), -math.inf)
    with pytest.raises(ValueError, match="not probabilities"):
        label_result([0.7, 0.7])
