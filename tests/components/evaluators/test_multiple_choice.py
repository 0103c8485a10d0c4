"""The likeliest letter counts; rows that cannot be asked are named before anything is."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from spa.api import EvaluationItem, LabelResult, Message, Prompt, PromptedEvaluator, SpaError
from spa.components.evaluators.data_configs import MultipleChoiceConfig
from spa.components.evaluators.multiple_choice import MultipleChoiceEvaluator

QUESTION = {"id": "q", "prompt": "What is {choices}?", "choices": ["one", "two"], "answer": 1}
Make = Callable[..., MultipleChoiceEvaluator]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """An evaluator on the rows given."""

    def made(*rows: Any, **config: Any) -> MultipleChoiceEvaluator:
        file = tmp_path / "data.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return MultipleChoiceEvaluator(MultipleChoiceConfig(path=str(file), **config))

    return made


def result(*probabilities: float) -> LabelResult:
    return LabelResult(tuple(math.log(p) for p in probabilities), sum(probabilities), 9)


def rows(
    drive: Callable[..., Any], evaluator: MultipleChoiceEvaluator, *answers: Sequence[float]
) -> list[Any]:
    """Rows of two models; each gives the probabilities of the letters of every question in turn."""
    prompts = list(evaluator.prompts())
    results = iter(answers)
    found = []
    for prompt in prompts:
        scored = {}
        for model in ("base", "round-1"):
            given = next(results)
            scored[model] = () if not given else _scored(drive, evaluator, prompt, given)
        found.append(evaluator.evaluate(EvaluationItem(prompt, scored), []))
    return found


def _scored(drive: Any, evaluator: Any, prompt: Prompt, given: Sequence[float]) -> Any:
    from spa.api import Scored

    _, responses = drive(evaluator.respond(prompt), result(*given))
    return tuple(Scored(response, {}) for response in responses)


def test_choices_are_asked_by_letters_after_the_prefill(
    make: Make, drive: Callable[..., Any]
) -> None:
    evaluator = make(QUESTION, template="{category}: {prompt}\n{choices}")
    assert isinstance(evaluator, PromptedEvaluator)
    [prompt] = evaluator.prompts()
    (request,), [response] = drive(evaluator.respond(prompt), result(0.1, 0.3))
    assert request.labels == (" A", " B")
    assert request.prefill == "Answer:"
    # Braces of the question are left alone, and so is the name of a column that is not there.
    text = "{category}: What is {choices}?\nA. one\nB. two"
    assert request.messages == (Message("user", text),)
    assert response.text == "B"
    assert response.details["mass"] == pytest.approx(0.4)
    assert next(iter(evaluator.will_ask_policy())) == replace(
        request, messages=(Message("user", ""),)
    )


SHOTS = [
    {"id": "a", "prompt": " Is it? ", "choices": ["no", "yes"], "answer": 1, "subject": "the_sea"},
    {"id": "b", "prompt": "Is he?", "choices": ["no", "yes"], "answer": 0, "subject": "land"},
    {"id": "c", "prompt": "Are we?", "choices": ["no", "yes"], "answer": "A", "subject": "the_sea"},
]


@pytest.fixture
def examples(tmp_path: Path) -> str:
    file = tmp_path / "examples.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in SHOTS), encoding="utf-8")
    return str(file)


def test_plain_text_is_that_of_the_harness(
    make: Make, drive: Callable[..., Any], examples: str
) -> None:
    evaluator = make(
        {**QUESTION, "subject": "the_sea"},
        format="plain",
        shots={"path": examples, "n": 2, "by": "subject"},
        description="Questions (with answers) about {subject}.\n\n",
    )
    [prompt] = evaluator.prompts()
    (request,), [response] = drive(evaluator.respond(prompt), result(0.1, 0.3))
    assert request.messages == ()
    assert request.labels == (" A", " B")
    assert request.prefill == (
        "Questions (with answers) about the sea.\n\n"
        "Is it?\nA. no\nB. yes\nAnswer: B\n\n"
        "Are we?\nA. no\nB. yes\nAnswer: A\n\n"
        "What is {choices}?\nA. one\nB. two\nAnswer:"
    )
    assert response.text == "B"
    assert list(evaluator.will_ask_policy()) == [replace(request, prefill="Answer:")]


def test_in_a_chat_examples_are_earlier_turns(
    make: Make, drive: Callable[..., Any], examples: str
) -> None:
    shots = {"path": examples, "n": 1}
    evaluator = make(QUESTION, shots=shots, template="{prompt}\n{choices}", description="Sea.")
    [prompt] = evaluator.prompts()
    (request,), _ = drive(evaluator.respond(prompt), result(0.1, 0.3))
    assert [(turn.role, turn.content) for turn in request.messages] == [
        ("system", "Sea."),
        ("user", "Is it?\nA. no\nB. yes"),
        ("assistant", "Answer: B"),
        ("user", "What is {choices}?\nA. one\nB. two"),
    ]
    assert request.prefill == "Answer:"


def test_a_question_is_no_example_for_itself_and_too_few_are_an_error(
    make: Make, examples: str
) -> None:
    shots = {"path": examples, "n": 1, "by": "subject"}
    [prompt] = make(SHOTS[0], shots=shots).prompts()
    [shot] = cast("Any", prompt.meta["shots"])
    assert shot["prompt"] == "Are we?"
    with pytest.raises(
        SpaError, match=r"row b: 1 examples .* 0 others with subject 'land' in .*ex"
    ):
        make(SHOTS[1], shots=shots).prompts()
    with pytest.raises(SpaError, match=r"no column 'theme'.*with shots\.by"):
        make(SHOTS[1], shots={**shots, "by": "theme"}).prompts()


def test_accuracy_label_mass_and_paired_difference(make: Make, drive: Callable[..., Any]) -> None:
    evaluator = make(QUESTION, {**QUESTION, "id": "r", "answer": "a"}, resamples=50)
    found = rows(drive, evaluator, (0.6, 0.3), (0.2, 0.7), (0.5, 0.5), (0.8, 0.1))
    metrics = {(m.name, m.model): m for m in evaluator.summary(found, [])}
    accuracy = {model: metrics["accuracy", model].value for model in ("base", "round-1")}
    assert accuracy == {"base": 0.5, "round-1": 1.0}  # equally likely letters: the first
    difference = metrics["accuracy", "round-1 - base"]
    assert (difference.value, difference.n, difference.high) == (0.5, 2, 1.0)
    assert difference.low == pytest.approx(0.25 - 1.96 * ((0.75 - 0.25**2) / 4) ** 0.5, abs=1e-4)
    assert metrics["label_mass", "base"].value == pytest.approx(0.95)


def test_a_model_that_could_not_be_asked_is_missing(make: Make, drive: Callable[..., Any]) -> None:
    evaluator = make(QUESTION, {**QUESTION, "id": "r"}, resamples=50)
    found = rows(drive, evaluator, (0.6, 0.3), (0.2, 0.7), (0.1, 0.5), ())
    metrics = {(m.name, m.model): m for m in evaluator.summary(found, [])}
    assert (metrics["accuracy", "base"].value, metrics["accuracy", "base"].missing) == (0.5, 0)
    for model in ("round-1", "round-1 - base"):
        assert (metrics["accuracy", model].n, metrics["accuracy", model].missing) == (1, 1)
        assert metrics["accuracy", model].value == 1.0


def test_choices_with_a_label_each_as_truthfulqa_has_them(make: Make) -> None:
    row = {"question": "Why?", "mc1_targets": {"choices": ["x", "y", "z"], "labels": [0, 0, 1]}}
    evaluator = make(row, prompt_column="question", choices_column="mc1_targets")
    [prompt] = evaluator.prompts()
    assert prompt.meta == {"choices": ["x", "y", "z"], "answer": 2}


def test_shuffled_choices_keep_the_right_one(make: Make) -> None:
    given = [{**QUESTION, "id": f"q{i}", "choices": list("vwxyz"), "answer": 0} for i in range(40)]
    first = list(make(*given, shuffle=0).prompts())
    assert first == list(make(*given, shuffle=0).prompts())
    assert first != list(make(*given, shuffle=1).prompts())
    for prompt in first:
        choices: Any = prompt.meta["choices"]
        assert sorted(choices) == list("vwxyz")
        assert choices[prompt.meta["answer"]] == "v"
    assert {prompt.meta["answer"] for prompt in first} == set(range(5))
    with pytest.raises(SpaError, match=r"all 40 questions.*Set shuffle: 0"):
        make(*given).prompts()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": 2}, r"row q: 2 is not one of its choices\. Valid: 0 to 1, or A to B"),
        ({"answer": "C"}, "row q: 'C' is not one"),
        ({"answer": "?"}, "is not one of its choices"),
        ({"answer": True}, "is not one of its choices"),
        ({"answer": None}, "is not one of its choices"),
        ({"choices": ["x"]}, "row q has 1 choices; from 2 to 26"),
        ({"choices": "xy"}, "must be a list"),
        ({"choices": {"choices": ["x", "y"], "labels": [1, 1]}}, "None is not one of its choices"),
    ],
)
def test_rows_that_are_not_right(make: Make, change: Any, message: str) -> None:
    with pytest.raises(SpaError, match=message):
        make({**QUESTION, **change}).prompts()


def test_a_column_that_is_not_there(make: Make) -> None:
    message = r"no column 'options'. Present: 'choices', 'answer'. .* with choices_column"
    with pytest.raises(SpaError, match=message):
        make(QUESTION, choices_column="options").prompts()


def test_limit_takes_the_first_rows(make: Make) -> None:
    given = [{**QUESTION, "id": f"q{i}"} for i in range(4)]
    assert [prompt.id for prompt in make(*given, limit=2).prompts()] == ["q0", "q1"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "set either path"),
        ({"path": "a.jsonl", "dataset": "b"}, "set either path"),
        ({"path": "a.txt"}, r"must end in \.jsonl, \.csv, \.parquet"),
        ({"path": "a.jsonl", "template": "{prompt}"}, r"\{choices\} must be in it"),
    ],
)
def test_settings_that_do_not_go_together(config: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MultipleChoiceConfig(**config)


def test_examples_have_the_questions_column_unless_they_name_their_own(
    make: Make, tmp_path: Path
) -> None:
    asked = [{"question": row.pop("prompt"), **row} for row in map(dict, SHOTS)]
    file = tmp_path / "asked.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    shots = {"path": str(file), "n": 1}
    [prompt, *_] = make(*asked, shots=shots, prompt_column="question").prompts()
    assert len(cast("Any", prompt.meta["shots"])) == 1
    own = make(*asked, shots={**shots, "prompt_column": "other"}, prompt_column="question")
    with pytest.raises(SpaError, match="no column 'other'"):
        list(own.prompts())
