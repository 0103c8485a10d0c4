"""Accuracy on questions with choices, read off the probabilities of their letters.

Brings prompts of its own: MMLU, the single-answer form of TruthfulQA, and files like them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import cast

from spa.api import (
    Asks,
    EvaluationItem,
    JsonValue,
    Metric,
    Objective,
    Prompt,
    Request,
    Response,
    SpaError,
    label,
)
from spa.components.evaluators.choice_texts import kind_of_request, written_request
from spa.components.evaluators.choices import Shots, choices_of, question_of
from spa.components.evaluators.data import rows_of
from spa.components.evaluators.data_configs import MultipleChoiceConfig
from spa.components.evaluators.metrics import Row, compared, models_of, right_by, series_of

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

        With worked examples, these are ``shots`` there.

        Raises:
            SpaError: If they cannot be had, a row is not right, the right choice is always in the
                same place, or there are too few examples for a question.
        """
        config = self._config
        found = [question_of(row, config) for row in rows_of(config)]
        places = {question.meta["answer"] for question in found}
        if len(found) >= _ALIKE and len(places) == 1:
            raise SpaError(
                f"the right choice of all {len(found)} questions is the one at place {places.pop()}"
                " from 0, so whoever likes that letter would seem to know. Set shuffle: 0."
            )
        shots = None if config.shots is None else Shots(config.shots, config)
        return iter(found if shots is None else [_after(shots.before(q), q) for q in found])

    def will_ask_policy(self) -> Sequence[Request]:
        """A request for each number of choices that there is."""
        counts = {len(choices_of(question)) for question in self.prompts()}
        return [kind_of_request(count, self._config) for count in sorted(counts)]

    def respond(self, prompt: Prompt) -> Asks[Sequence[Response]]:
        """The likeliest letter, with the log-probability of each."""
        result = yield from label(written_request(prompt, self._config))
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


def _after(shots: Sequence[Prompt], question: Prompt) -> Prompt:
    """A question with its worked examples."""
    kept: list[JsonValue] = [{**shot.meta, "prompt": shot.text} for shot in shots]
    return replace(question, meta={**question.meta, "shots": kept})
