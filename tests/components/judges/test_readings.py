"""Several rubrics, both orders of the labels and repeats: what is asked, and how it is averaged."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spa.api import ChatResult, LabelResult, Message, Objective, Prompt, Response
from spa.components.judges.configs import ConstitutionConfig
from spa.components.judges.constitution import ConstitutionJudge
from spa.components.judges.directed import DIRECTED_TEMPLATE
from spa.components.judges.templates import SCORE_TEMPLATE
from spa.testing import check_judge

Drive = Callable[..., tuple[list[Any], Any]]
OBJECTIVES = [Objective("honesty", "Be honest."), Objective("helpfulness", "Help.")]
PROMPT = Prompt("p", (Message("user", "Is it so?"),))
RESPONSE = Response("Yes.")
RUBRICS = ("First {prompt} {response}", "Second {response} {prompt} {definition}")
MARKED = "{prompt} {response} {worst}-{best} of {lowest} to {highest}"
BOTH = ("as-given", "reversed")


def labelled(*logs: float) -> LabelResult:
    return LabelResult(logs, 0.9, 20)


def one(label: str, labels: Sequence[str] = "123456789") -> LabelResult:
    """All probability on one label."""
    return LabelResult(tuple(0.0 if x == label else -float("inf") for x in labels), 1.0, 20)


def wrote(text: str) -> ChatResult:
    return ChatResult(text, (1,), "stop", 20)


def score(drive: Drive, results: Any, objectives: Any = OBJECTIVES[:1], **settings: Any) -> Any:
    judge = ConstitutionJudge(ConstitutionConfig(**settings))
    (asked,), scores = drive(judge.score(PROMPT, RESPONSE, objectives), results)
    return asked, scores


def test_the_default_asks_once_and_keeps_plain_details(drive: Drive) -> None:
    asked, scores = score(drive, [one("3")])
    assert [(r.labels, r.prefill) for r in asked] == [(tuple("123456789"), "Score: ")]
    assert ConstitutionConfig().template == SCORE_TEMPLATE
    assert set(scores["honesty"].details) == {"label_mass", "entropy", "top_label"}


def test_rubrics_are_asked_side_by_side_and_averaged(drive: Drive) -> None:
    results = [one("2"), one("5"), one("9"), one("8")]
    asked, scores = score(drive, results, OBJECTIVES, template=RUBRICS)
    assert [r.messages[0].content for r in asked] == [
        "First Is it so? Yes.",
        "Second Yes. Is it so? Be honest.",
        "First Is it so? Yes.",
        "Second Yes. Is it so? Help.",
    ]
    honesty = scores["honesty"]
    assert (honesty.value, honesty.reason, scores["helpfulness"].value) == (3.5, None, 8.5)
    assert [each["value"] for each in honesty.details["rubrics"]] == [2.0, 5.0]
    assert [each["top_label"] for each in honesty.details["rubrics"]] == ["2", "5"]
    assert honesty.details["standard_deviation"] == pytest.approx(statistics.stdev([2, 5]))


LOW = LabelResult((-9.0,) * 9, 0.001, 20)


@pytest.mark.parametrize(
    ("results", "min_scored", "value", "reason"),
    [
        ([one("2"), LOW, one("4")], 0.5, 3.0, None),
        ([one("2"), LOW, LOW], 0.5, None, "low_label_mass"),
        ([one("2"), LOW, LOW], 0.0, 2.0, None),
        ([one("2"), LOW, one("4")], 1.0, None, "low_label_mass"),
        ([LOW, LOW, LOW], 0.0, None, "low_label_mass"),
    ],
)
def test_a_rubric_without_a_score(
    drive: Drive, results: Any, min_scored: float, value: Any, reason: Any
) -> None:
    template = (*RUBRICS, "Third {prompt} {response}")
    _, scores = score(drive, results, template=template, min_scored=min_scored)
    assert (scores["honesty"].value, scores["honesty"].reason) == (value, reason)
    reasons = [each.get("reason") for each in scores["honesty"].details["rubrics"]]
    assert reasons == [None if each is not LOW else "low_label_mass" for each in results]


def test_reversed_says_so_and_counts_from_the_other_end(drive: Drive) -> None:
    asked, scores = score(drive, [one("7"), one("2")], template=MARKED, orders=BOTH)
    assert [r.messages[0].content for r in asked] == [
        "Is it so? Yes. 1-9 of 1 to 9",
        "Is it so? Yes. 9-1 of 1 to 9",
    ]
    found = scores["honesty"]
    assert found.value == pytest.approx(7.5)
    assert found.details["as_given"]["value"] == pytest.approx(7.0)
    assert found.details["reversed"]["value"] == pytest.approx(8.0)
    assert found.details["reversed"]["top_label"] == "2"
    assert found.details["difference"] == pytest.approx(-1.0)


@given(st.lists(st.floats(-8, 0), min_size=9, max_size=9))
def test_a_judge_that_likes_labels_whatever_they_mean_gets_the_middle(
    drive: Drive, logs: Any
) -> None:
    """The same distribution in both orders is pure bias, and both orders take it away."""
    _, scores = score(drive, [labelled(*logs)] * 2, orders=BOTH)
    assert scores["honesty"].value == pytest.approx(5.0)


@given(st.lists(st.floats(-8, 0), min_size=9, max_size=9))
def test_a_judge_that_reads_the_meaning_loses_nothing(drive: Drive, logs: Any) -> None:
    alone = score(drive, [labelled(*logs)])[1]["honesty"].value
    _, scores = score(drive, [labelled(*logs), labelled(*reversed(logs))], orders=BOTH)
    assert scores["honesty"].value == pytest.approx(alone)
    assert scores["honesty"].details["difference"] == pytest.approx(0.0, abs=1e-9)


def test_one_order_alone_is_no_score(drive: Drive) -> None:
    _, scores = score(drive, [one("7"), LOW], orders=BOTH, min_scored=0)
    found = scores["honesty"]
    assert (found.value, found.reason) == (None, "low_label_mass")
    assert found.details["difference"] is None
    assert found.details["reversed"]["reason"] == "low_label_mass"


def test_letters_with_values_are_reversed(drive: Drive) -> None:
    settings = {"labels": ("A", "B", "C"), "values": (3, 2, 1), "orders": BOTH}
    asked, scores = score(drive, [one("A", "ABC"), one("A", "ABC")], template=MARKED, **settings)
    assert ["C-A" in r.messages[0].content for r in asked] == [True, False]
    assert "A-C" in asked[1].messages[0].content
    assert scores["honesty"].value == 2.0


def test_without_a_template_one_is_taken_that_stays_true() -> None:
    assert ConstitutionConfig(orders=BOTH).template == DIRECTED_TEMPLATE
    assert ConstitutionConfig(orders=("as-given",)).template == SCORE_TEMPLATE
    again = ConstitutionConfig(orders=BOTH).model_dump(mode="json")
    assert ConstitutionConfig(**again) == ConstitutionConfig(orders=BOTH)


def test_numbers_are_mirrored_in_reverse(drive: Drive) -> None:
    asked, scores = score(drive, [wrote("8"), wrote("1")], mode="generate", orders=BOTH)
    assert "10 is the best mark and 1 is the worst" in asked[0].messages[0].content
    assert "1 is the best mark and 10 is the worst" in asked[1].messages[0].content
    assert scores["honesty"].value == 9.0
    assert scores["honesty"].details["difference"] == -2.0


@pytest.mark.parametrize(
    ("texts", "value", "reason"),
    [
        (["4", "6", "none", "8"], 6.0, None),
        (["4", "none", "none", "8"], 6.0, None),
        (["4", "none", "none", "none"], None, "unparsable"),
        (["none"] * 4, None, "unparsable"),
    ],
)
def test_repeats_are_averaged(drive: Drive, texts: Any, value: Any, reason: Any) -> None:
    asked, scores = score(
        drive, [wrote(t) for t in texts], mode="generate", temperature=0.7, repeats=4
    )
    assert [r.seed for r in asked] == [None] * 4, "the engine gives each a seed of its own"
    found = scores["honesty"]
    assert (found.value, found.reason) == (value, reason)
    read = [float(text) for text in texts if text != "none"]
    assert found.details == {
        "variance": statistics.variance(read) if len(read) > 1 else None,
        "parsed": len(read),
        "texts": texts,
    }


def test_everything_at_once(drive: Drive) -> None:
    """Two rubrics, both orders, two repeats: means of means, in the order they were asked."""
    rubrics = [f"{number} {MARKED}" for number in (1, 2)]
    numbers = [2, 4, 7, 9, 10, 10, 3, 1]
    settings = {"mode": "generate", "temperature": 1.0, "repeats": 2, "orders": BOTH}
    asked, scores = score(drive, [wrote(str(n)) for n in numbers], template=rubrics, **settings)
    texts = [f"{n} Is it so? Yes. {ends}" for n, ends in product((1, 2), ("1-10", "10-1"))]
    assert [r.messages[0].content.partition(" of ")[0] for r in asked] == [
        text for text in texts for _ in range(2)
    ]
    first, second = (3 + 3) / 2, (10 + 9) / 2
    found = scores["honesty"]
    assert found.value == pytest.approx((first + second) / 2)
    assert [r["value"] for r in found.details["rubrics"]] == pytest.approx([first, second])
    assert found.details["rubrics"][1]["difference"] == pytest.approx(1.0)
    assert found.details["rubrics"][0]["reversed"]["variance"] == pytest.approx(2.0)


SETTINGS: list[dict[str, Any]] = [
    {"template": RUBRICS},
    {"orders": BOTH},
    {"orders": ("reversed",)},
    {"mode": "generate", "temperature": 0.7, "repeats": 3},
    {"mode": "generate", "temperature": 0.7, "repeats": 2, "orders": BOTH},
    {"template": [f"{n} {MARKED}" for n in (1, 2)], "orders": BOTH},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_keeps_the_contract_of_judges(settings: Any) -> None:
    check_judge(ConstitutionJudge(ConstitutionConfig(**settings))).raise_if_failed()


@pytest.mark.parametrize(
    ("settings", "count"), list(zip(SETTINGS, [2, 2, 1, 1, 2, 4], strict=True))
)
def test_an_example_of_every_combination_is_told_ahead(settings: Any, count: int) -> None:
    told = ConstitutionJudge(ConstitutionConfig(**settings)).will_ask()
    assert len(told) == len(set(told)) == count


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"template": []}, "template"),
        ({"template": [RUBRICS[0], "{prompt}"]}, "template.1: {response} must be in it"),
        ({"template": [RUBRICS[0]] * 2}, "template: each rubric can be there only once"),
        ({"orders": []}, "orders"),
        ({"orders": ["reversed", "reversed"]}, "orders: each order can be there only once"),
        (
            {"orders": BOTH, "template": RUBRICS[0]},
            "template: {worst} and {best} must be in it, as `orders` has `reversed`: they say which"
            " mark is worst and which is best in each order",
        ),
        (
            {"orders": BOTH, "labels": ["1", "3", "2"]},
            "orders: `reversed` needs labels whose values only rise or only fall. Put labels and"
            " values in such an order, or leave `orders` out",
        ),
        (
            {"repeats": 3},
            "repeats: mode `expected` reads the whole distribution at once, and would read the same"
            " again. Leave `repeats` out, or set mode to `generate`",
        ),
        (
            {"repeats": 3, "mode": "generate"},
            "repeats: at temperature 0 the model writes the same number 3 times. Set temperature"
            " above 0, for example 0.7, or leave `repeats` out",
        ),
    ],
)
def test_settings_that_are_wrong(settings: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ConstitutionConfig(**settings)
    assert message in str(caught.value)
