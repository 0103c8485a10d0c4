"""The parts that need no server."""

from __future__ import annotations

import asyncio
import math
import threading
import time

import pytest

from spa.api import ChatRequest, LabelResult, Message, RequestFailure
from spa_openai.config import Price
from spa_openai.failures import row_of_answer
from spa_openai.flow import Flow
from spa_openai.labels import label_result, missing_bound
from spa_openai.pace import Pace, estimated_tokens
from spa_openai.replies import chat_result
from spa_openai.spending import CostLimitError, Spending
from spa_openai.wire import Answer, Place, Token, Usage, read_answer
from spa_openai.worker import Worker


def place(drawn: str = "1", **masses: float) -> Place:
    tokens = tuple(Token(token=text, logprob=math.log(p)) for text, p in masses.items())
    return Place(token=drawn, logprob=0.0, top_logprobs=tokens)


def labels(found: Place, *wanted: str, most: float = 0.01) -> LabelResult | RequestFailure:
    return label_result(wanted, found, most, 5)


def masses(result: LabelResult | RequestFailure) -> list[float]:
    assert isinstance(result, LabelResult)
    return [math.exp(logprob) for logprob in result.logprobs]


def test_tokens_of_one_label_are_added_up():
    found = place(**{"A": 0.5, " A": 0.2, "\nA": 0.1, "B": 0.1, "AB": 0.05})
    assert masses(labels(found, "A", "B")) == pytest.approx([0.8, 0.1])


def test_the_very_text_of_a_label_comes_first():
    found = place(**{"A": 0.5, " A": 0.3, "\nA": 0.1})
    assert masses(labels(found, "A", " A")) == pytest.approx([0.5, 0.3])


def test_small_letters_are_other_tokens():
    result = labels(place(**{"a": 0.6, "A": 0.3, "B": 0.1}), "A", "B")
    assert masses(result) == pytest.approx([0.3, 0.1])


def test_a_label_out_of_sight_counts_as_nothing_where_little_is_missed():
    result = labels(place(**{"A": 0.6, "B": 0.2, "x": 0.004}), "A", "B", "C", "D")
    assert masses(result) == pytest.approx([0.6, 0.2, 0, 0])
    assert result.logprobs[2:] == (-math.inf, -math.inf)
    assert result.mass == pytest.approx(0.8)


def test_a_label_out_of_sight_that_may_matter_is_a_failure():
    result = labels(place(**{"A": 0.4, "B": 0.2, "x": 0.03}), "A", "B", "C", "D")
    assert isinstance(result, RequestFailure)
    assert result.reason == "labels_not_covered"
    assert "could have up to 0.06 of the probability" in result.message


def test_missing_labels_cannot_have_more_than_the_list_leaves():
    assert missing_bound(place(A=0.5, B=0.496), 3) == pytest.approx(0.004)


def test_a_drawn_token_that_ranks_low_does_not_lower_the_bound():
    """A server lists it in the place of a likelier one: what is not listed may be likelier."""
    found = place("x", A=0.4, B=0.2, x=0.0001)
    assert missing_bound(found, 1) == pytest.approx(0.2)


def test_no_label_in_sight_is_no_mass():
    result = labels(place(x=0.6, y=0.399), "A", "B")
    assert isinstance(result, LabelResult)
    assert (result.logprobs, result.mass) == ((-math.inf, -math.inf), 0.0)


def test_rounding_does_not_make_more_than_everything():
    assert labels(place(A=0.7, B=0.3000001), "A", "B").mass == 1.0


def test_flow_begins_low_doubles_and_halves_once_for_one_trouble():
    flow = Flow(128)
    assert flow.limit == 32
    for _ in range(32):
        flow.begin()
    for _ in range(32):  # as one ends, the next is begun
        flow.answered()
        flow.begin()
    assert flow.limit == 64
    crowd = [flow.begin() for _ in range(32)]
    for number in crowd:
        flow.overloaded(number)
    assert flow.limit == 32
    flow.overloaded(flow.begin())
    assert flow.limit == 16


def test_flow_grows_by_one_a_window_after_trouble():
    flow = Flow(8)
    flow.overloaded(flow.begin())
    assert flow.limit == 4
    for _ in range(5):
        flow.begin()
    for _ in range(4):
        flow.begin()
        flow.answered()
    assert flow.limit == 4
    flow.begin()
    flow.answered()
    assert flow.limit == 5


def test_flow_stays_between_one_and_the_most():
    flow = Flow(3)
    for _ in range(20):
        for _ in range(3):
            flow.begin()
        for _ in range(3):
            flow.answered()
    assert (flow.limit, flow.room(1), flow.room(5)) == (3, 2, 0)
    for _ in range(20):
        flow.overloaded(flow.begin())
    assert (flow.limit, flow.room(0)) == (1, 1)


def test_flow_does_not_grow_while_it_is_not_used():
    flow = Flow(64)
    for _ in range(100):
        flow.begin()
        flow.answered()
    assert flow.limit == 32


def paced(pace: Pace, body: bytes, times: int) -> float:
    async def run() -> float:
        start = time.monotonic()
        for _ in range(times):
            await pace.admit(body)
        return time.monotonic() - start

    return asyncio.run(run())


def test_pace_of_requests():
    assert 0.9 <= paced(Pace(requests_per_minute=1200), b"{}", 140) <= 10.0


def test_pace_of_tokens_lets_a_request_larger_than_its_bucket_through():
    body = b'{"max_tokens": 3000, "x": "%s"}' % (b"-" * 4000)
    assert estimated_tokens(body) == pytest.approx(4000, rel=0.01)
    # 3,000 are free at once, the others come 500 a second.
    assert 1.9 <= paced(Pace(tokens_per_minute=30_000), body, 1) <= 10.0


def test_spending_counts_and_stops():
    spending = Spending(Price(input=2.0, output=10.0), max_cost=0.5)
    spending.add(Usage(prompt_tokens=100_000, completion_tokens=20_000))
    spending.check()
    assert spending.figures()["cost"] == pytest.approx(0.4)
    spending.add(Usage(prompt_tokens=0, completion_tokens=10_000))
    with pytest.raises(CostLimitError, match=r"0\.5, has reached max_cost"):
        spending.check()


def test_without_a_price_there_is_no_cost():
    assert "cost" not in Spending().figures()


def answer(**choice: object) -> Answer:
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    return Answer.model_validate({"choices": [choice], "usage": usage})


def reply(text: str | None, prefill: str = "", **choice: object) -> object:
    request = ChatRequest((Message("user", "x"),), max_tokens=4, prefill=prefill)
    found = answer(message={"content": text, **choice.pop("message", {})}, **choice)
    return chat_result(request, found)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "stop"),
        ("eos", "stop"),
        (None, "length"),
    ],
)
def test_finish_reasons(reason, expected):
    assert reply("hi", finish_reason=reason).finish_reason == expected


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_that_the_server_parted(name):
    result = reply("hi", message={name: "hm "})
    assert (result.reasoning, result.text) == ("hm", "hi")


def test_reasoning_that_was_cut_off_has_no_answer():
    result = reply(None, message={"reasoning_content": "hm"}, finish_reason="length")
    assert (result.reasoning, result.text, result.finish_reason) == ("hm", "", "length")


def test_a_prefilled_answer_is_not_searched_for_reasoning():
    assert reply("Score: 7", prefill="Score:").text == "7"
    assert reply(" 7 </think>", prefill="Score:").text == "7 </think>"


def test_what_a_model_refuses_by_the_protocol_is_a_failure():
    found = answer(message={"content": None, "refusal": "I cannot"})
    failure = row_of_answer(ChatRequest((Message("user", "x"),)), found, None)
    assert failure is not None
    assert failure.reason == "refused"


def test_counts_that_are_null_are_none():
    body = b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": null}}'
    assert read_answer(body).usage == Usage()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "it is no JSON object, and begins '<html>'"),
        (b"", "it is no JSON object, and begins ''"),
        (b"[]", r"it is no JSON object, and begins '\[\]'"),
        (b"{}", "choices: Field required"),
        (b'{"choices": [{"message": {"content": 3}}]}', "content: Input should be a valid string"),
        (b'{"choices": [{"message": {"content": null}}]}', "content: there is none"),
        (
            b'{"choices": [{"message": {"content": "x"}, "finish_reason": "abort"}]}',
            "finish_reason: abort",
        ),
    ],
)
def test_answers_that_cannot_be_read(body, said):
    with pytest.raises(ValueError, match=said):
        read_answer(body)


def test_other_kinds_of_reasoning_are_passed_over():
    body = b'{"choices": [{"message": {"content": "x", "reasoning": {"effort": 1}}}]}'
    assert read_answer(body).choice.reasoning == ""


def test_a_worker_cancels_and_ends():
    worker = Worker("test-worker")
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    running = [worker.submit(wait()) for _ in range(3)]
    worker.run(asyncio.sleep(0.05))
    worker.cancel(running[:2])
    assert ended == ["cancelled"] * 2
    worker.close()
    assert ended == ["cancelled"] * 3
    assert "test-worker" not in [thread.name for thread in threading.enumerate()]
