"""`multiple-choice` with `format: plain` and the harness choose the same letters, row by row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig
from spa.components.evaluators.data_configs import MultipleChoiceConfig
from spa.components.evaluators.multiple_choice import MultipleChoiceEvaluator
from spa.types import LabelResult
from spa_lm_eval.config import LmEvalConfig
from spa_lm_eval.evaluator import LmEvalEvaluator

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Data:
    """Questions, worked examples, and the column with the subject of both."""

    test: Path
    dev: Path
    column: str

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.test.read_text(encoding="utf-8").splitlines()]


OWN = Data(HERE / "test.jsonl", HERE / "dev.jsonl", "subject")


def by_letters(
    backend: HFBackend, data: Data, shots: int, **config: Any
) -> dict[str, tuple[int, list[float]]]:
    """Question to the place of its likeliest letter, and the log-probability of each letter."""
    settings: dict[str, Any] = {
        "path": str(data.test),
        "format": "plain",
        "description": "The following are multiple choice questions (with answers) about"
        f" {{{data.column}}}.\n\n",
        **config,
    }
    if shots:
        settings["shots"] = {"path": str(data.dev), "n": shots, "by": data.column}
    evaluator = MultipleChoiceEvaluator(MultipleChoiceConfig(**settings))
    asking: dict[str, Any] = {
        identity(prompt.text, cast("Any", prompt.meta["choices"])): evaluator.respond(prompt)
        for prompt in evaluator.prompts()
    }
    answers = dict(backend.answer([next(each) for each in asking.values()]))
    found = {}
    for place, question in enumerate(asking):
        result = answers[place]
        assert isinstance(result, LabelResult)
        logs = list(result.logprobs)
        found[question] = (logs.index(max(logs)), logs)
    return found


def by_harness(
    backend: HFBackend, data: Data, shots: int, write_task: Callable[..., Path]
) -> dict[str, tuple[int, list[float], float]]:
    """The same, and what the harness says of the row's accuracy."""
    subjects = dict.fromkeys(row[data.column] for row in data.rows())
    files = tuple(str(write_task(each, data.test, data.dev, data.column)) for each in subjects)
    evaluator = LmEvalEvaluator(
        LmEvalConfig(tasks=files, trust_task_files=True, num_fewshot=shots, batch_size=4)
    )
    prompts = {prompt.id: prompt for prompt in evaluator.prompts()}
    found = {}
    responded = evaluator.respond_with(backend.loaded(), tuple(prompts.values()))
    for identifier, [response] in responded.items():
        details: Any = response.details
        logs = [answer[0] for answer in details["answers"]]
        chosen = logs.index(max(logs))
        assert response.text.strip() == "ABCD"[chosen]
        written = prompts[identifier].text.removesuffix("\nAnswer:")
        found[written] = (chosen, logs, float(details["metrics"]["acc"]))
    return found


def identity(question: str, choices: Sequence[str]) -> str:
    """Question and choices, as the task file writes them."""
    listed = [f"{a}. {choice}" for a, choice in zip("ABCD", choices, strict=True)]
    return "\n".join([question.strip(), *listed])


def compare(ours: Any, theirs: Any, data: Data) -> float:
    """Makes sure that both agree on every row, and gives the accuracy."""
    right = {identity(row["prompt"], row["choices"]): row["answer"] for row in data.rows()}
    assert set(ours) == set(theirs) == set(right)
    for question, (chosen, logs) in ours.items():
        their_choice, their_logs, accuracy = theirs[question]
        assert chosen == their_choice
        assert accuracy == float(chosen == right[question])
        assert logs == pytest.approx(their_logs, abs=1e-4)
    return sum(chosen == right[question] for question, (chosen, _) in ours.items()) / len(right)


@pytest.mark.parametrize("shots", [0, 2])
def test_same_letters_as_the_harness_with_a_tiny_model(
    shots: int, tiny_folder: Path, write_task: Callable[..., Path]
) -> None:
    backend = HFBackend(HFConfig(path=str(tiny_folder), dtype="float32"))
    # A token a byte: the space before the letter is one of its own, and belongs to the text.
    ours = by_letters(backend, OWN, shots, prefill="Answer: ", before_letter="")
    theirs = by_harness(backend, OWN, shots, write_task)
    assert len(theirs) == 12
    assert {q: each[0] for q, each in ours.items()} == {q: each[0] for q, each in theirs.items()}
    for question, (_, logs) in ours.items():
        differences = [a - b for a, b in zip(logs, theirs[question][1], strict=True)]
        assert max(differences) - min(differences) < 1e-4


def test_same_log_probabilities_and_accuracy_with_a_real_model(
    smol_path: Path, write_task: Callable[..., Path]
) -> None:
    backend = HFBackend(HFConfig(path=str(smol_path), dtype="float32"))
    ours = by_letters(backend, OWN, 3)
    accuracy = compare(ours, by_harness(backend, OWN, 3, write_task), OWN)
    assert 0 < accuracy < 1
    assert all(math.isfinite(value) for _, logs in ours.values() for value in logs)


@pytest.mark.parametrize("shots", [0, 4])
def test_same_accuracy_on_rows_of_mmlu(
    shots: int, smol_path: Path, shared_data: Path, tmp_path: Path, write_task: Callable[..., Path]
) -> None:
    rows = (shared_data / "mmlu_test.jsonl").read_text(encoding="utf-8").splitlines()[:40]
    test = tmp_path / "mmlu.jsonl"
    test.write_text("\n".join(rows) + "\n", encoding="utf-8")
    data = Data(test, shared_data / "mmlu_dev.jsonl", "category")
    backend = HFBackend(HFConfig(path=str(smol_path), dtype="float32"))
    ours = by_letters(backend, data, shots)
    accuracy = compare(ours, by_harness(backend, data, shots, write_task), data)
    letters = "".join("ABCD"[chosen] for chosen, _ in ours.values())
    print(f"{shots} examples, {len(rows)} rows: accuracy {accuracy:.4f}, letters {letters}")
