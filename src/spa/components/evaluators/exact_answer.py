"""Accuracy on questions with one right answer, which the model works out in words.

Brings prompts of its own: GSM8K and files like it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from spa.api import (
    Asks,
    EvaluationItem,
    JsonValue,
    Message,
    Metric,
    Objective,
    Prompt,
    Response,
    SpaError,
)
from spa.components.evaluators.answering import answered
from spa.components.evaluators.data import column, rows_of
from spa.components.evaluators.data_configs import ExactAnswerConfig
from spa.components.evaluators.final_answers import final_answer, is_same, reference_answer
from spa.components.evaluators.metrics import Row, compared, models_of, right_by, series_of
from spa.components.text import fill

__all__ = ["ExactAnswerEvaluator"]


class ExactAnswerEvaluator:
    """Compares the answer at which a model arrives with the right one.

    Metrics of every model, with the paired difference of each later one from the first:
    ``accuracy``; ``no_answer``, the share of answers without anything that could be compared, which
    count as wrong; and ``cut_short``, the share that reached ``max_tokens``.
    """

    def __init__(self, config: ExactAnswerConfig) -> None:
        """Keeps the settings; reads nothing."""
        self._config = config

    def prompts(self) -> Iterator[Prompt]:
        """The questions, with the right answer as ``reference`` in `meta`.

        Raises:
            SpaError: If they cannot be had, or one has no answer of the kind.
        """
        return (self._question(row) for row in rows_of(self._config))

    def respond(self, prompt: Prompt) -> Asks[Sequence[Response]]:
        """One solution in words."""
        question = fill(self._config.template, {"prompt": prompt.text})
        return (yield from answered((Message("user", question),), self._config))

    def evaluate(
        self, item: EvaluationItem, objectives: Sequence[Objective]
    ) -> Mapping[str, JsonValue]:
        """What each model arrived at, and whether that is right: 1 or 0."""
        del objectives
        row: dict[str, JsonValue] = {"prompt_id": item.prompt.id, "models": list(item.answers)}
        kind, reference = self._config.kind, str(item.prompt.meta["reference"])
        for model, answers in item.answers.items():
            for answer in answers:
                found = final_answer(answer.response.text, kind)
                row[f"{model}:answer"] = found
                right = found is not None and is_same(found, reference, kind)
                row[f"{model}:accuracy"] = int(right)
                row[f"{model}:no_answer"] = int(found is None)
                row[f"{model}:cut_short"] = int(answer.response.finish_reason == "length")
        return row

    def summary(self, rows: Sequence[Row], objectives: Sequence[Objective]) -> Sequence[Metric]:
        """Returns the accuracy and what may have lowered it."""
        del objectives
        models = models_of(rows)
        return [
            metric
            for name in ("accuracy", "no_answer", "cut_short")
            for metric in compared(name, series_of(rows, models, name), self._config, shares=True)
        ]

    def right(self, row: Row) -> Mapping[str, float]:
        """Whether each model's answer was right: 1 or 0."""
        return right_by(row, "accuracy")

    def _question(self, row: Prompt) -> Prompt:
        kind = self._config.kind
        given = str(column(row, self._config.answer_column, "answer_column"))
        reference = reference_answer(given)
        if not is_same(reference, reference, kind):
            raise SpaError(
                f"row {row.id}: its answer {given!r} is no {kind}. Correct it, or set kind to"
                f" {'text' if kind == 'number' else 'number'}."
            )
        return replace(row, meta={**row.meta, "reference": reference})
