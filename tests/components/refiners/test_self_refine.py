"""The refiner shows everything it should, and keeps what was generated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from spa.api import ChatResult, Group, Message, Objective, Prompt, Refiner, Response, Score, Scored
from spa.components.refiners.configs import SelfRefineConfig
from spa.components.refiners.self_refine import SelfRefiner

OBJECTIVES = [
    Objective("harmlessness", "Do no harm.\n", minimum=1, maximum=9),
    Objective("helpfulness", "Help {prompt}."),
]
RESULT = ChatResult(" Better. ", (5, 6, 2), "length", 40)


def scored(text: str, *values: float | None) -> Scored:
    scores = {o.name: Score(v) for o, v in zip(OBJECTIVES, values, strict=True)}
    return Scored(Response(text), scores)


GROUP = Group(
    Prompt("p", (Message("user", "How {samples}?"),)),
    (scored("First {objectives}", 7.256, 5.0), scored("Second", 8.0, None)),
)


def refine(
    drive: Callable[..., tuple[list[Any], Any]], result: Any = RESULT, **settings: Any
) -> Any:
    refiner = SelfRefiner(SelfRefineConfig(**settings))
    assert isinstance(refiner, Refiner)
    (request,), response = drive(refiner.refine(GROUP, OBJECTIVES), result)
    return request, response


def test_shows_objectives_in_order_prompt_samples_and_scores(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    template = "<{objectives}><{prompt}><{samples}>"
    request, _ = refine(drive, template=template)
    assert request.messages == (
        Message(
            "user",
            "<1. harmlessness: Do no harm.\n2. helpfulness: Help {prompt}.><How {samples}?>"
            "<Answer 1 got harmlessness 7.26 of 9, helpfulness 5:\nFirst {objectives}\n\n"
            "Answer 2 got harmlessness 8 of 9, no score for helpfulness:\nSecond>",
        ),
    )


def test_what_is_the_same_for_all_prompts_comes_first(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    request, _ = refine(drive)
    text = request.messages[0].content
    places = [
        text.index(part) for part in ("Do no harm.", "Help", "How {", "First {", "Second", "better")
    ]
    assert places == sorted(places)


def test_keeps_text_and_token_ids_as_generated(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    request, response = refine(drive, temperature=0, max_tokens=9, top_p=0.5, prefill="Answer: ")
    assert (request.temperature, request.max_tokens, request.top_p) == (0.0, 9, 0.5)
    assert (request.prefill, request.seed) == ("Answer: ", None)
    assert response == Response(
        " Better. ", (5, 6, 2), "length", details={"temperature": 0.0, "samples": 2}
    )


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_blank_answer_is_none(drive: Callable[..., tuple[list[Any], Any]], text: str) -> None:
    assert refine(drive, ChatResult(text, (2,), "stop", 4))[1] is None


def test_long_samples_are_cut(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    request, _ = refine(drive, template="{prompt}|{samples}", max_chars=3)
    assert "\nFir \u2026\n" in request.messages[0].content
    assert request.messages[0].content.startswith("How {samples}?|"), "the prompt is never cut"


def test_a_template_needs_prompt_and_samples() -> None:
    with pytest.raises(ValidationError, match=r"{prompt} and {samples} must be in it"):
        SelfRefineConfig(template="nothing")


def test_reasoning_is_kept_beside_the_answer(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    _, response = refine(drive, ChatResult("Better.", (5, 2), "stop", 4, reasoning="Hm."))
    assert response.details == {"temperature": 0.7, "samples": 2, "reasoning": "Hm."}
    assert response.text == "Better."
