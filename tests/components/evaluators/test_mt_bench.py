"""Two turns, the second with the policy's own first answer; grades by turn and by category."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spa.api import (
    ChatResult,
    EvaluationItem,
    PromptedEvaluator,
    RequestError,
    RequestFailure,
    Scored,
    SpaError,
)
from spa.components.evaluators.mt_bench import MtBenchEvaluator
from spa.components.evaluators.mt_bench_config import MtBenchConfig

WRITING = {"id": "w", "turns": ["Write {answer}.", "Again, shorter."], "category": "writing"}
MATH = {
    "id": "m",
    "turns": ["1 + 1?", "And 2 + 2?"],
    "category": "math",
    "reference": ["2", "4"],
}
Make = Callable[..., MtBenchEvaluator]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """An evaluator on the rows given."""

    def made(*rows: Any, **config: Any) -> MtBenchEvaluator:
        file = tmp_path / "questions.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return MtBenchEvaluator(MtBenchConfig(path=str(file), resamples=50, **config))

    return made


def said(text: str, finish: Any = "stop") -> ChatResult:
    return ChatResult(text, (1,), finish, 5)


def answers(drive: Any, evaluator: Any, prompt: Any, *texts: str) -> tuple[Scored, ...]:
    _, responses = drive(evaluator.respond(prompt), *map(said, texts))
    return tuple(Scored(response, {}) for response in responses)


def test_the_second_turn_follows_the_policys_own_answer(make: Make, drive: Any) -> None:
    evaluator = make(WRITING, MATH)
    assert isinstance(evaluator, PromptedEvaluator)
    writing, math = evaluator.prompts()
    asked, responses = drive(evaluator.respond(writing), said("One."), said("Two.", "length"))
    assert [(turn.role, turn.content) for turn in asked[0].messages] == [
        ("user", "Write {answer}.")
    ]
    assert [(turn.role, turn.content) for turn in asked[1].messages] == [
        ("user", "Write {answer}."),
        ("assistant", "One."),
        ("user", "Again, shorter."),
    ]
    assert [request.temperature for request in asked] == [0.7, 0.7]
    assert [response.text for response in responses] == ["One.", "Two."]
    asked, _ = drive(evaluator.respond(math), said("2"), said("4"))
    assert [request.temperature for request in asked] == [0.0, 0.0]


def test_the_judge_sees_conversation_answer_and_reference(make: Make, drive: Any) -> None:
    evaluator = make(WRITING, MATH)
    writing, math = evaluator.prompts()
    given = {"base": answers(drive, evaluator, math, "It is 2.", "It is 5.")}
    verdicts = [said("Right.\nScore: 9"), said("Wrong.\n**Score: 2**")]
    asked, row = drive(evaluator.evaluate(EvaluationItem(math, given), []), verdicts)
    first, second = (request.messages[0].content for request in asked[0])
    assert "### Conversation\n1 + 1?\n\n### Answer to grade\nIt is 2.\n\n" in first
    assert "### A correct answer, to compare with\n2\n\n### Task" in first
    assert "User: 1 + 1?\n\nAssistant: It is 2.\n\nUser: And 2 + 2?\n" in second
    assert "to compare with\n4\n" in second
    assert [request.temperature for request in asked[0]] == [0.0, 0.0]
    assert (row["base:turn_1"], row["base:turn_2"], row["base:score"]) == (9.0, 2.0, 5.5)
    given = {"base": answers(drive, evaluator, writing, "{reference}", "b")}
    asked, _ = drive(evaluator.evaluate(EvaluationItem(writing, given), []), verdicts)
    assert "to compare with" not in asked[0][0].messages[0].content
    # Braces of an answer are left alone.
    assert "### Answer to grade\n{reference}\n\n### Task" in asked[0][0].messages[0].content


def test_figures_by_turn_and_category_with_what_is_missing(make: Make, drive: Any) -> None:
    evaluator = make(WRITING, MATH)
    rows = []
    grades = iter([(8, 6), (9, 9), (4, None), (2, 4)])
    for prompt in evaluator.prompts():
        given = {m: answers(drive, evaluator, prompt, "a", "b") for m in ("base", "round-1")}
        verdicts = [
            [
                said("None." if grade is None else f"Some 3 faults.\nScore: {grade}")
                for grade in pair
            ]
            for pair in (next(grades), next(grades))
        ]
        rows.append(drive(evaluator.evaluate(EvaluationItem(prompt, given), []), *verdicts)[1])
    metrics = {(m.name, m.model): m for m in evaluator.summary(rows, [])}
    assert metrics["score", "base"].value == 7.0
    assert (metrics["score", "base"].n, metrics["score", "base"].missing) == (1, 1)
    assert metrics["score", "round-1"].value == 6.0
    assert metrics["turn_1", "base"].value == 6.0
    assert metrics["turn_2", "round-1"].value == 6.5
    assert metrics["score:writing", "round-1 - base"].value == 2.0
    assert metrics["score:math", "round-1"].value == 3.0
    assert metrics["score:math", "base"].value is None
    cut = metrics["cut_short", "base"]
    assert (cut.value, cut.low) == (0.0, 0.0)
    assert cut.high is not None
    assert cut.high > 0.5  # two questions say little of the share


def test_a_judge_that_fails_leaves_the_model_without_a_grade(make: Make, drive: Any) -> None:
    evaluator = make(MATH)
    [prompt] = evaluator.prompts()
    given = {m: answers(drive, evaluator, prompt, "a", "b") for m in ("base", "round-1")}
    failure = RequestError(RequestFailure("too_long", "too long"))
    verdicts = [said("Score: 5"), said("Score: 7")]
    _, row = drive(evaluator.evaluate(EvaluationItem(prompt, given), []), failure, verdicts)
    assert row["base:failure"] == "too_long"
    assert row["round-1:score"] == 6.0
    assert "base:score" not in row


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": ["2"]}, "row m has 2 turns and 1 references"),
        ({"reference": "2"}, "must be a list of texts"),
        ({"turns": ["", "b"]}, "a list of user turns as texts, none of them empty"),
        ({"turns": [{"role": "system", "content": "a"}, "b"]}, "a list of user turns"),
    ],
)
def test_rows_that_are_not_right(make: Make, change: Any, message: str) -> None:
    with pytest.raises(SpaError, match=message):
        list(make({**MATH, **change}).prompts())


def test_settings_that_are_not_right() -> None:
    with pytest.raises(ValidationError, match=r"\{answer\} must be in it"):
        MtBenchConfig(path="a.jsonl", template="{conversation}")
    with pytest.raises(ValidationError, match="temperatures"):
        MtBenchConfig(path="a.jsonl", temperatures={"math": -1})


def test_the_public_questions_are_read(shared_data: Path) -> None:
    config = MtBenchConfig(path=str(shared_data / "mt_bench.jsonl"))
    prompts = list(MtBenchEvaluator(config).prompts())
    assert len(prompts) == 80
    assert all(len(prompt.messages) == 2 for prompt in prompts)
    with_reference = [p for p in prompts if p.meta["references"] != [None, None]]
    assert len(with_reference) == 30
