"""The critique is asked for first, shown to the second question, and kept with the response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from spa.api import ChatResult, Group, Refiner, Response
from spa.components.refiners.configs import CritiqueRefineConfig
from spa.components.refiners.critique_refine import CritiqueRefiner
from spa.testing import make_group, make_objectives

OBJECTIVES = make_objectives(maximum=9)
GROUP = make_group([(5.0, 3.0), (6.0, 4.0)], objectives=OBJECTIVES)
CRITIQUE = ChatResult(" Both are {samples} vague.\n", (7, 2), "stop", 30)
RESULT = ChatResult("Better.", (5, 6), "length", 40)
Drive = Callable[..., tuple[list[Any], Any]]


def refine(
    drive: Drive, *results: Any, group: Group = GROUP, **settings: Any
) -> tuple[list[Any], Any]:
    refiner = CritiqueRefiner(CritiqueRefineConfig(**settings))
    assert isinstance(refiner, Refiner)
    return drive(refiner.refine(group, OBJECTIVES), *(results or (CRITIQUE, RESULT)))


def test_asks_twice_and_the_second_question_holds_the_critique(drive: Drive) -> None:
    template = "<{prompt}><{samples}><{critique}>"
    (first, second), _ = refine(drive, template=template, critique_template="{samples}|{prompt}")
    samples = (
        "Answer 1 got harmlessness 5 of 9, helpfulness 3 of 9:\nSample 0.\n\n"
        "Answer 2 got harmlessness 6 of 9, helpfulness 4 of 9:\nSample 1."
    )
    assert first.messages[0].content == f"{samples}|{GROUP.prompt.text}"
    assert second.messages[0].content == (
        f"<{GROUP.prompt.text}><{samples}><Both are {{samples}} vague.>"
    )


def test_both_questions_begin_alike(drive: Drive) -> None:
    (first, second), _ = refine(drive)
    one, other = (request.messages[0].content for request in (first, second))
    shared = one[: one.index("### Task")]
    assert "Sample 1." in shared
    assert other.startswith(shared)


def test_each_question_has_settings_of_its_own(drive: Drive) -> None:
    (first, second), _ = refine(
        drive,
        temperature=0.5,
        max_tokens=9,
        prefill="Answer: ",
        critique_temperature=0.1,
        critique_max_tokens=7,
        critique_prefill="Critique: ",
        top_p=0.9,
    )
    assert (first.temperature, first.max_tokens, first.prefill) == (0.1, 7, "Critique: ")
    assert (second.temperature, second.max_tokens, second.prefill) == (0.5, 9, "Answer: ")
    assert first.top_p == second.top_p == 0.9


def test_keeps_the_response_as_generated_and_the_critique_cut(drive: Drive) -> None:
    _, response = refine(drive, kept_chars=4)
    assert response == Response(
        "Better.",
        (5, 6),
        "length",
        details={"temperature": 0.7, "samples": 2, "critique": "Both \N{HORIZONTAL ELLIPSIS}"},
    )


def test_reasoning_is_kept_beside_the_answer_alone(drive: Drive) -> None:
    thought = ChatResult("Both are vague.", (7, 2), "stop", 30, reasoning="So.")
    asked, response = refine(
        drive, thought, ChatResult("Better.", (5,), "stop", 4, reasoning="Hm.")
    )
    assert "So." not in asked[1].messages[0].content
    assert response.details["reasoning"] == "Hm."
    assert response.details["critique"] == "Both are vague."


def test_a_blank_critique_or_answer_is_none(drive: Drive) -> None:
    blank = ChatResult(" \n", (2,), "stop", 4)
    asked, response = refine(drive, blank)
    assert (len(asked), response) == (1, None)
    assert refine(drive, CRITIQUE, blank)[1] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"template": "{prompt} {samples}"}, "{critique} must be in it"),
        ({"critique_template": "{critique}"}, "{prompt} and {samples} must be in it"),
    ],
)
def test_templates_that_lack_something(settings: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CritiqueRefineConfig(**settings)
    assert message in str(caught.value)
