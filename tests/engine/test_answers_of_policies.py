"""Answers to held-out prompts keep what the model said."""

from __future__ import annotations

from spa.engine.stages.sample import _answer
from spa.recipe import AnswerConfig
from spa.types import ChatResult, Message, Prompt, Response


def test_reasoning_is_kept_beside_the_answer() -> None:
    asks = _answer(Prompt("p", (Message("user", "Hi"),)), AnswerConfig(n=2, max_tokens=8))
    asked = next(asks)
    assert isinstance(asked, list)
    assert [request.max_tokens for request in asked] == [8, 8]
    results = [
        ChatResult("Yes.", (1, 2), "stop", 9, reasoning="Hm."),
        ChatResult("No", (3,), "length", 9),
    ]
    try:
        asks.send(results)
    except StopIteration as stop:
        found = stop.value
    assert found == [
        Response("Yes.", (1, 2), details={"reasoning": "Hm."}),
        Response("No", (3,), "length"),
    ]
