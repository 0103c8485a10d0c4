"""Accuracy on questions with choices, read off the probabilities of their letters.

Brings prompts of its own: MMLU, the single-answer form of TruthfulQA, and files like them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import cast

from spa.api import (
    Asks,
    EvaluationItem,
    JsonValue,
    LabelRequest,
    Message,
    Metric,
    Objective,
    Prompt,
    Request,
    Response,
    SpaError,
    label,
)
from spa.components.evaluators.data import column, rows_of
from spa.components.evaluators.data_configs import MultipleChoiceConfig
from spa.components.evaluators.metrics import Row, compared, models_of, right_by, series_of
from spa.components.text import fill

__all__ = ["MultipleChoiceEvaluator"]

_ALIKE = 10
"""So many rows or more whose right choice is always in one place are a list that was not mixed."""


class MultipleChoiceEvaluator:
    """Asks for the likeliest letter after the prefill; of equally likely ones the first counts.

    Metrics, over questions: ``accuracy`` of every model, with the paired difference of each later
    one from the first, and ``label_mass``, the probability that was on the letters at all. With
    little of it, the model answers in another way than by a letter, and its accuracy says little.
    """

    def __init__(self, config: MultipleChoiceConfig) -> None:
        """Keeps the settings; reads nothing."""
        self._config = config

    def prompts(self) -> Iterator[Prompt]:
        """The questions, with ``choices`` and ``answer``, the place of the right one, in `meta`.

        Raises:
            SpaError: If they cannot be had, a row is not right, or the right choice is always in
                the same place.
        """
        found = [self._question(row) for row in rows_of(self._config)]
        places = {question.meta["answer"] for question in found}
        if len(found) >= _ALIKE and len(places) == 1:
            raise SpaError(
                f"the right choice of all {len(found)} questions is the one at place {places.pop()}"
                " from 0, so whoever likes that letter would seem to know. Set shuffle: 0."
            )
        return iter(found)

    def will_ask_policy(self) -> Sequence[Request]:
        """A request for each number of choices that there is."""
        counts = {len(_choices(question)) for question in self.prompts()}
        return [self._request("", count) for count in sorted(counts)]

    def respond(self, prompt: Prompt) -> Asks[Sequence[Response]]:
        """The likeliest letter, with the log-probability of each."""
        choices = _choices(prompt)
        listed = "\n".join(
            f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, choices, strict=False)
        )
        values = {name: str(value) for name, value in prompt.meta.items()}
        question = fill(self._config.template, {**values, "prompt": prompt.text, "choices": listed})
        result = yield from label(self._request(question, len(choices)))
        best = result.logprobs.index(max(result.logprobs))
        details: dict[str, JsonValue] = {"logprobs": list(result.logprobs), "mass": result.mass}
        return [Response(ascii_uppercase[best], details=details)]

    def evaluate(
        self, item: EvaluationItem, objectives: Sequence[Objective]
    ) -> Mapping[str, JsonValue]:
        """Whether each model chose rightly: 1 or 0, nothing where it could not be asked."""
        del objectives
        row: dict[str, JsonValue] = {"prompt_id": item.prompt.id, "models": list(item.answers)}
        right = ascii_uppercase[cast("int", item.prompt.meta["answer"])]
        for model, answers in item.answers.items():
            for answer in answers:
                row[f"{model}:choice"] = answer.response.text
                row[f"{model}:accuracy"] = int(answer.response.text == right)
                row[f"{model}:label_mass"] = answer.response.details["mass"]
        return row

    def summary(self, rows: Sequence[Row], objectives: Sequence[Objective]) -> Sequence[Metric]:
        """Returns accuracy and label mass."""
        del objectives
        models = models_of(rows)
        return [
            metric
            for name in ("accuracy", "label_mass")
            for metric in compared(
                name, series_of(rows, models, name), self._config, shares=name == "accuracy"
            )
        ]

    def right(self, row: Row) -> Mapping[str, float]:
        """Whether each model's answer was right: 1 or 0."""
        return right_by(row, "accuracy")

    def _request(self, question: str, count: int) -> LabelRequest:
        return LabelRequest(
            messages=(Message("user", question),),
            labels=tuple(f"{self._config.before_letter}{a}" for a in ascii_uppercase[:count]),
            prefill=self._config.prefill,
        )

    def _question(self, row: Prompt) -> Prompt:
        config = self._config
        value = column(row, config.choices_column, "choices_column")
        if isinstance(value, Mapping) and {"choices", "labels"} <= set(value):
            listed, labels = value["choices"], value["labels"]
            marked = isinstance(labels, Sequence) and list(labels).count(1) == 1
            answer: JsonValue = list(cast("Sequence[int]", labels)).index(1) if marked else None
        else:
            listed, answer = value, column(row, config.answer_column, "answer_column")
        if isinstance(listed, str) or not isinstance(listed, Sequence):
            raise SpaError(f"row {row.id}: the choices must be a list of texts.")
        if not 2 <= len(listed) <= len(ascii_uppercase):
            raise SpaError(
                f"row {row.id} has {len(listed)} choices; from 2 to {len(ascii_uppercase)} can be"
                " asked for by a letter."
            )
        choices = [str(choice) for choice in listed]
        right = _place(answer, len(choices))
        if right is None:
            last = ascii_uppercase[len(choices) - 1]
            raise SpaError(
                f"row {row.id}: {answer!r} is not one of its choices. Valid: 0 to"
                f" {len(choices) - 1}, or A to {last}."
            )
        if config.shuffle is not None:
            order = sorted(range(len(choices)), key=lambda at: _rank(config.shuffle, row.id, at))
            choices, right = [choices[at] for at in order], order.index(right)
        kept = {k: v for k, v in row.meta.items() if k != config.choices_column}
        return replace(row, meta={**kept, "choices": choices, "answer": right})


def _choices(prompt: Prompt) -> Sequence[str]:
    return cast("Sequence[str]", prompt.meta["choices"])


def _place(answer: JsonValue, count: int) -> int | None:
    """The place of the right choice; None if there is none such."""
    if isinstance(answer, str):
        letter = answer.strip().upper()
        answer = ascii_uppercase.find(letter) if len(letter) == 1 else None
    if isinstance(answer, bool) or not isinstance(answer, int):
        return None
    return answer if 0 <= answer < count else None


def _rank(seed: int | None, row: str, place: int) -> str:
    return hashlib.sha256(f"{seed}|{row}|{place}".encode()).hexdigest()
