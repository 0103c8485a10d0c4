"""What a solution arrives at, read as a person would, and compared as numbers or texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spa.api import ChatResult, EvaluationItem, PromptedEvaluator, Response, Scored, SpaError
from spa.components.evaluators.data_configs import ExactAnswerConfig
from spa.components.evaluators.exact_answer import ExactAnswerEvaluator
from spa.components.evaluators.final_answers import (
    Kind,
    final_answer,
    is_same,
    reference_answer,
)

ROW = {"id": "q", "prompt": "How many?", "answer": "12 * 100 = 1200\n#### 1,200"}
Make = Callable[..., ExactAnswerEvaluator]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """An evaluator on the rows given."""

    def made(*rows: Any, **config: Any) -> ExactAnswerEvaluator:
        file = tmp_path / "data.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return ExactAnswerEvaluator(ExactAnswerConfig(path=str(file), resamples=50, **config))

    return made


@pytest.mark.parametrize(
    ("text", "kind", "answer"),
    [
        ("3 + 4 = 7\n#### 7", "number", "7"),
        ("#### 5\nNo: #### 6", "number", "6"),
        ("#### $1,234.50.", "number", "1,234.50"),
        ("The answer is 8, not 9.", "number", "8"),
        ("**Answer:** 18 apples\nCheck: 2 * 9", "number", "18"),
        (r"so \boxed{42} of 50", "number", "42"),
        ("First 3, then 4, in all -7", "number", "-7"),
        ("#### none\nThe answer is 3.", "number", "3"),
        ("half is .5", "number", ".5"),
        ("1,2 and 3", "number", "3"),
        ("I do not know.", "number", None),
        ("", "number", None),
        ("It is warm.\n#### Paris\n", "text", "Paris"),
        ("Well.\nThe answer is the Seine.", "text", "the Seine."),
        ("Well.\nParis\n\n", "text", "Paris"),
        ("  \n", "text", None),
    ],
)
def test_where_a_text_arrives(text: str, kind: Kind, answer: str | None) -> None:
    assert final_answer(text, kind) == answer


@pytest.mark.parametrize(
    ("answer", "reference", "kind", "same"),
    [
        ("1,200", "1200", "number", True),
        ("7.0", "7", "number", True),
        ("$7", "7 dollars", "number", True),
        ("-7", "7", "number", False),
        ("0.1", "0.10000001", "number", False),
        ("x", "y", "number", False),
        ("The  Seine.", "seine", "text", True),
        ("Seine", "Loire", "text", False),
        ("?", "!", "text", False),
    ],
)
def test_what_is_the_same(answer: str, reference: str, kind: Kind, same: bool) -> None:
    assert is_same(answer, reference, kind) is same


def test_the_reference_follows_the_mark() -> None:
    assert reference_answer("so\n#### 3 ") == "3"
    assert reference_answer(" 3 ") == "3"


def test_a_solution_is_asked_for_greedily(make: Make, drive: Callable[..., Any]) -> None:
    evaluator = make(ROW, max_tokens=9)
    assert isinstance(evaluator, PromptedEvaluator)
    [prompt] = evaluator.prompts()
    assert prompt.meta["reference"] == "1,200"
    result = ChatResult("#### 3", (1, 2), "stop", 5, reasoning="hm")
    (request,), [response] = drive(evaluator.respond(prompt), result)
    assert (request.temperature, request.max_tokens) == (0.0, 9)
    assert request.messages[0].content.startswith("How many?\n\nWork it out")
    assert response == Response("#### 3", (1, 2), "stop", {"reasoning": "hm"})


def test_wrong_missing_and_cut_answers_count(make: Make) -> None:
    evaluator = make(ROW)
    [prompt] = evaluator.prompts()

    def row(base: Response | None, trained: Response) -> Any:
        answers = {"base": base, "round-1": trained}
        scored = {m: () if r is None else (Scored(r, {}),) for m, r in answers.items()}
        return evaluator.evaluate(EvaluationItem(prompt, scored), [])

    rows = [
        row(Response("1200"), Response("It is 1,200.")),
        row(Response("I cannot tell."), Response("#### 1200")),
        row(Response("so 3", finish_reason="length"), Response("12")),
        row(None, Response("1200")),
    ]
    figures = {(m.name, m.model): m for m in evaluator.summary(rows, [])}
    assert figures["accuracy", "base"].value == pytest.approx(1 / 3)
    assert figures["accuracy", "base"].missing == 1
    assert figures["no_answer", "base"].value == pytest.approx(1 / 3)
    assert figures["cut_short", "base"].value == pytest.approx(1 / 3)
    assert figures["accuracy", "round-1"].value == 0.75
    assert figures["accuracy", "round-1 - base"].value == pytest.approx(1 / 3)
    assert figures["accuracy", "round-1 - base"].n == 3


def test_a_row_without_an_answer_of_its_kind(make: Make) -> None:
    with pytest.raises(SpaError, match=r"row q: its answer 'Paris' is no number.*kind to text"):
        list(make({**ROW, "answer": "Paris"}).prompts())
    assert [p.meta["reference"] for p in make({**ROW, "answer": "Paris"}, kind="text").prompts()]
    with pytest.raises(SpaError, match="is no text"):
        list(make({**ROW, "answer": "?"}, kind="text").prompts())
