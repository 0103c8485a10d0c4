"""The judge asks about every objective side by side and turns answers into scores or reasons."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spa.api import (
    ChatResult,
    Judge,
    LabelResult,
    Message,
    Objective,
    Prompt,
    RequestError,
    RequestFailure,
    Response,
)
from spa.components.judges.configs import ConstitutionConfig
from spa.components.judges.constitution import ConstitutionJudge

OBJECTIVES = [Objective("honesty", "Be {response}.\n"), Objective("helpfulness", "Help.")]
PROMPT = Prompt("p", (Message("user", "Is {definition} so?"),))
RESPONSE = Response("Yes {prompt} {}.")


def labelled(probabilities: Any) -> LabelResult:
    with np.errstate(divide="ignore"):
        logprobs = np.log(np.asarray(probabilities, dtype=np.float64))
    return LabelResult(tuple(logprobs.tolist()), float(np.sum(probabilities)), 50)


def score(
    drive: Callable[..., tuple[list[Any], Any]],
    results: Any,
    objectives: Any = OBJECTIVES,
    **settings: Any,
) -> Any:
    judge = ConstitutionJudge(ConstitutionConfig(**settings))
    assert isinstance(judge, Judge)
    (asked,), scores = drive(judge.score(PROMPT, RESPONSE, objectives), results)
    return asked, scores


@given(st.lists(st.floats(1e-6, 1), min_size=9, max_size=9), st.floats(0.5, 1))
def test_expected_score_and_entropy(
    drive: Callable[..., tuple[list[Any], Any]], weights: Any, mass: Any
) -> None:
    p = np.array(weights, dtype=np.float64)
    p *= mass / p.sum()
    _, scores = score(drive, [labelled(p)], OBJECTIVES[:1], min_label_mass=0.4)
    found = scores["honesty"]
    conditional = p / p.sum()
    assert found.value == pytest.approx((p * np.arange(1, 10)).sum() / p.sum(), rel=1e-12)
    assert found.details["entropy"] == pytest.approx(-(conditional * np.log(conditional)).sum())
    assert found.details["label_mass"] == pytest.approx(mass)
    assert p[int(found.details["top_label"]) - 1] == pytest.approx(p.max())
    assert (found.reason, 1 <= found.value <= 9) == (None, True)


def test_labels_that_are_impossible_count_nothing(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    _, scores = score(drive, [labelled([0] * 8 + [0.9])], OBJECTIVES[:1])
    assert scores["honesty"].value == 9.0
    assert scores["honesty"].details["entropy"] == 0


@pytest.mark.parametrize(
    ("probabilities", "settings"),
    [([0.05] * 9, {}), ([0.0] * 9, {"min_label_mass": 0}), ([0.1] * 9, {"min_label_mass": 0.95})],
)
def test_low_label_mass_is_unscored(
    drive: Callable[..., tuple[list[Any], Any]], probabilities: Any, settings: Any
) -> None:
    _, scores = score(drive, [labelled(probabilities)], OBJECTIVES[:1], **settings)
    found = scores["honesty"]
    assert (found.value, found.reason) == (None, "low_label_mass")
    assert found.details == {"label_mass": pytest.approx(sum(probabilities))}


def test_all_objectives_are_asked_side_by_side(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    low, high = labelled([0.9] + [0.0] * 8), labelled([0.0] * 8 + [0.9])
    asked, scores = score(drive, [low, high])
    assert {name: s.value for name, s in scores.items()} == {"honesty": 1.0, "helpfulness": 9.0}
    assert [r.labels for r in asked] == [tuple("123456789")] * 2
    assert {r.prefill for r in asked} == {"Score: "}


def test_template_is_filled_once_whatever_braces_the_texts_hold(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    template = "{name}|{lowest}|{highest}|{definition}|{prompt}|{response}"
    asked, _ = score(drive, [labelled([0.1] * 9)], OBJECTIVES[:1], template=template)
    assert asked[0].messages == (
        Message("user", "honesty|1|9|Be {response}.|Is {definition} so?|Yes {prompt} {}."),
    )


def test_what_is_shared_comes_first_and_only_the_name_differs_between_objectives(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    asked, _ = score(drive, [labelled([0.1] * 9)] * 2)
    texts = [request.messages[0].content for request in asked]
    parts = (
        "from 1 (worst) to 9",
        "1. honesty: Be {response}.\n\n2. helpfulness: Help.",
        PROMPT.text,
        RESPONSE.text,
        "Write only",
        "Criterion: ",
    )
    for text, objective in zip(texts, OBJECTIVES, strict=True):
        assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
        assert text.endswith(f"\nCriterion: {objective.name}")
    assert texts[0].removesuffix("honesty") == texts[1].removesuffix("helpfulness")


def test_placeholders_of_one_objective_stay_valid(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    template = "{definitions}|{name}: {definition}|{prompt}|{response}"
    asked, _ = score(drive, [labelled([0.1] * 9)] * 2, template=template)
    end = f"|{PROMPT.text}|{RESPONSE.text}"
    both = "1. honesty: Be {response}.\n\n2. helpfulness: Help."
    assert [r.messages[0].content for r in asked] == [
        f"{both}|honesty: Be {{response}}.{end}",
        f"{both}|helpfulness: Help.{end}",
    ]


def test_conversations_are_written_out(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    turns = (Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "Why?"))
    judge = ConstitutionJudge(ConstitutionConfig(template="{prompt}|{response}"))
    (asked,), _ = drive(
        judge.score(Prompt("p", turns), Response("So."), OBJECTIVES[:1]), [labelled([0.1] * 9)]
    )
    assert asked[0].messages[0].content == "User: Hi\n\nAssistant: Yes?\n\nUser: Why?|So."


def test_generated_numbers_are_parsed(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    results = [
        ChatResult("8 is right", (1, 2), "stop", 40),
        ChatResult("no idea", (1,), "length", 40),
    ]
    asked, scores = score(drive, results, mode="generate", max_tokens=5)
    assert [(r.max_tokens, r.temperature, r.prefill) for r in asked] == [(5, 0.0, "Score: ")] * 2
    assert (scores["honesty"].value, scores["honesty"].reason) == (8.0, None)
    assert (scores["helpfulness"].value, scores["helpfulness"].reason) == (None, "unparsable")
    assert scores["helpfulness"].details == {"text": "no idea"}
    assert "from 1 (worst) to 10 (best)" in asked[0].messages[0].content


def test_a_number_off_the_scale_is_unparsable(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    result = [ChatResult("11", (1,), "stop", 40)]
    _, scores = score(drive, result, OBJECTIVES[:1], mode="generate")
    assert (scores["honesty"].value, scores["honesty"].reason) == (None, "unparsable")


def test_a_request_that_fails_sets_the_row_aside(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    judge = ConstitutionJudge(ConstitutionConfig())
    failure = RequestError(RequestFailure("too_long", "..."))
    with pytest.raises(RequestError):
        drive(judge.score(PROMPT, RESPONSE, OBJECTIVES), failure)


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, (1, 9)),
        ({"labels": [0, 1, 2]}, (0, 2)),
        ({"labels": ["A", "B", "C"], "values": [3, 2, 1]}, (1, 3)),
        ({"mode": "generate"}, (1, 10)),
        ({"mode": "generate", "lowest": 0, "highest": 5}, (0, 5)),
    ],
)
def test_scale(settings: Any, scale: Any) -> None:
    assert ConstitutionJudge(ConstitutionConfig(**settings)).scale == scale


def test_labels_with_values(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    _, scores = score(
        drive, [labelled([0.6, 0.3])], OBJECTIVES[:1], labels=["good", "bad"], values=[1, -1]
    )
    assert scores["honesty"].value == pytest.approx((0.6 - 0.3) / 0.9)
    assert scores["honesty"].details["top_label"] == "good"
    assert not math.isnan(scores["honesty"].details["entropy"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ["1", "1"]}, "labels: each label can be there only once"),
        ({"labels": ["A", "B"]}, "labels: 'A' is not a number; give the score of each label in"),
        ({"labels": ["1", "nan"]}, "labels: 'nan' is not a number; give the score of each label"),
        ({"labels": ["A", "B"], "values": [1]}, "values: 1 values for 2 labels"),
        ({"labels": ["A", "B"], "values": [1, 1]}, "the scale is empty: its highest score must be"),
        ({"mode": "generate", "lowest": 10}, "the scale is empty: its highest score must be above"),
        ({"template": "{prompt}"}, "template: {response} must be in it"),
    ],
)
def test_settings_that_are_wrong(settings: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ConstitutionConfig(**settings)


@pytest.mark.parametrize("mode", ["expected", "generate"])
def test_it_tells_ahead_what_it_will_ask(
    drive: Callable[..., tuple[list[Any], Any]], mode: str
) -> None:
    reply = labelled((0.4, 0.5)) if mode == "expected" else ChatResult("2", (1,), "stop", 9)
    settings = {"mode": mode, "labels": (1, 2), "prefill": "Mark: "}
    asked, _ = score(drive, [reply, reply], **settings)
    (told,) = ConstitutionJudge(ConstitutionConfig(**settings)).will_ask()
    assert replace(told, messages=asked[0].messages) == asked[0]
