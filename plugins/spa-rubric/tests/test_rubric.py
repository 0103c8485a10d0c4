# ruff: noqa: E501 - messages are quoted in full
from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pydantic import ValidationError

import spa_rubric
from spa.api import RecipeFacts, SpaError
from spa.testing import (
    check_component,
    check_judge,
    drive,
    make_objectives,
    make_prompt,
    make_response,
)
from spa_rubric.config import Pattern, Rubric, RubricConfig
from spa_rubric.judge import RubricJudge, score_text
from spa_rubric.plugin import spa_judges, spa_losses

LIST_ITEM = r"^[ \t]*([-*]|\d+[.)])[ \t]+\S"
HELP = Rubric(
    highest=2,
    patterns=(
        Pattern(match=r"\bdoctors?\b"),
        Pattern(match=r"\bhotlines?\b", points=1.5),
        Pattern(match=r"\bignore it\b", points=-1),
    ),
)
STEPS = Rubric(highest=3, patterns=(Pattern(match=LIST_ITEM, count="each"),))
JUDGE = RubricJudge(RubricConfig(rubrics={"help": HELP, "steps": STEPS}))
OBJECTIVES = make_objectives("help", "steps")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nothing.", 0),
        ("See a doctor. A DOCTOR knows.", 1),
        ("Call a hotline.", 1.5),
        ("Call a hotline or a doctor.", 2),
        ("Ignore it.", 0),
        ("A doctor may say: ignore it.", 0),
        ("doctoral", 0),
    ],
)
def test_points_are_added_and_kept_between_lowest_and_highest(text: str, expected: float) -> None:
    assert score_text(text, HELP).value == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. Cool it\n2. Cover it", 2),
        ("So:\n  - one\n  * two\n  3) three\n  - four", 3),
        ("It cost 1.5 dollars - or 2.", 0),
        ("1.\n2.", 0),
    ],
)
def test_each_counts_every_match_up_to_the_cap(text: str, expected: float) -> None:
    assert score_text(text, STEPS).value == expected


def test_details_hold_the_matches_of_each_pattern() -> None:
    assert score_text("doctor, doctor, hotline", HELP).details == {"matches": [1, 1, 0]}


def test_the_scale_is_that_of_all_rubrics_or_none() -> None:
    assert JUDGE.scale is None
    assert RubricJudge(RubricConfig(rubrics={"a": HELP, "b": HELP})).scale == (0, 2)


def test_it_asks_no_model() -> None:
    def reply(request: object) -> None:
        raise AssertionError("asked")

    scores = drive(JUDGE.score(make_prompt(), make_response("- doctor"), OBJECTIVES), reply)  # type: ignore[arg-type]
    assert {name: score.value for name, score in scores.items()} == {"help": 1, "steps": 1}


def test_an_objective_without_a_rubric_is_named() -> None:
    with pytest.raises(SpaError) as caught:
        JUDGE.score(make_prompt(), make_response(), make_objectives("honesty"))
    assert str(caught.value) == (
        "judge 'rubric' has no rubric for objective 'honesty', only for: help, steps. "
        "Add judge.rubrics.honesty to the recipe."
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pattern(match="(doctor"), "'(doctor' is not a regular expression: missing ), unterminated subpattern at character 1"),
        (lambda: Pattern(match="a*"), "'a*' matches an empty text, so it would match anything"),
        (lambda: Pattern(match="a", points=float("nan")), "finite number"),
        (lambda: Pattern(match="a", weight=2), "Extra inputs are not permitted"),
        (lambda: Rubric(highest=0, patterns=(Pattern(match="a"),)), "highest (0) must be above lowest (0)"),
        (lambda: Rubric(highest=1, patterns=()), "at least 1 item"),
        (lambda: Rubric(highest=1, patterns=(Pattern(match="a", points=0),)), "no pattern has any points, so every score would be the same"),
        (lambda: RubricConfig(rubrics={}), "at least 1 item"),
    ],
)  # fmt: skip
def test_mistakes_in_a_recipe(make: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make()  # type: ignore[operator]
    assert message in str(caught.value)


def test_every_objective_of_a_recipe_needs_a_rubric() -> None:
    config = RubricConfig(rubrics={"help": HELP, "steps": STEPS})
    assert list(config.check_recipe(RecipeFacts(("steps", "help")))) == []
    assert list(config.check_recipe(RecipeFacts(("help", "honesty", "care")))) == [
        ("rubrics", "no rubric for objective 'honesty'. There are rubrics for: help, steps. Add rubrics.honesty"),
        ("rubrics", "no rubric for objective 'care'. There are rubrics for: help, steps. Add rubrics.care"),
    ]  # fmt: skip


def test_the_judge_keeps_its_contract() -> None:
    report = check_judge(JUDGE, objectives=OBJECTIVES, response=make_response("- doctor"))
    report.raise_if_failed()
    assert len(report.checks) == 7


@pytest.mark.parametrize(
    ("kind", "record"),
    [("judge", *spa_judges()), ("loss", *spa_losses())],
    ids=["rubric", "slic"],
)
def test_the_records_keep_their_contract(kind: str, record: object) -> None:
    report = check_component(kind, record)  # type: ignore[arg-type]
    report.raise_if_failed()
    assert len(report.checks) == 6


def test_nothing_of_spa_is_imported_but_its_api() -> None:
    folder = Path(spa_rubric.__file__).parent
    imported = {
        node.module
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
    } | {
        alias.name
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert {name for name in imported if name.partition(".")[0] == "spa"} == {"spa.api"}
