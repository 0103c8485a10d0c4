"""Mean judge scores of every model on held-out prompts, and how much training changed them.

Stands at the end of the flow and asks nothing: the answers were judged before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spa.api import EvaluationItem, JsonValue, Metric, Objective, Scored
from spa.components.evaluators.configs import JudgeScoresConfig
from spa.components.evaluators.metrics import (
    Row,
    Series,
    compared,
    models_of,
    number,
    total,
)

__all__ = ["JudgeScoresEvaluator"]


class JudgeScoresEvaluator:
    """Averages a prompt's answers first and prompts second; compares models prompt by prompt.

    Metrics, per objective: the mean of each model; for every model but the first the paired
    difference from the first, as model ``"round-1 - base"``; and, where there are any, the share
    of unscored answers, as ``"NAME_unscored"``. With `lambdas`, for two objectives, also
    ``"HH_5"`` and so on: ``HH_lambda = (lambda * first + second) / (lambda + 1)``.
    """

    def __init__(self, config: JudgeScoresConfig) -> None:
        """Keeps the settings."""
        self._config = config

    def evaluate(
        self, item: EvaluationItem, objectives: Sequence[Objective]
    ) -> Mapping[str, JsonValue]:
        """Returns, per model and objective, the prompt's mean score and how many were unscored."""
        row: dict[str, JsonValue] = {"prompt_id": item.prompt.id, "models": list(item.answers)}
        for model, answers in item.answers.items():
            row[f"{model}:answers"] = len(answers)
            for objective in objectives:
                known = _known(answers, objective)
                row[f"{model}:{objective.name}"] = sum(known) / len(known) if known else None
                row[f"{model}:{objective.name}:unscored"] = len(answers) - len(known)
        return row

    def summary(self, rows: Sequence[Row], objectives: Sequence[Objective]) -> Sequence[Metric]:
        """Returns the metrics, objective by objective."""
        models = models_of(rows)
        metrics: list[Metric] = []
        for objective in objectives:
            series = {m: [number(row, f"{m}:{objective.name}") for row in rows] for m in models}
            metrics += compared(objective.name, series, self._config)
            metrics += _unscored(rows, models, objective)
        for weight in self._config.lambdas:
            series = {m: _weighted(rows, m, objectives, weight) for m in models}
            metrics += compared(f"HH_{weight:g}", series, self._config)
        return metrics


def _known(answers: Sequence[Scored], objective: Objective) -> list[float]:
    scores = (answer.scores.get(objective.name) for answer in answers)
    return [score.value for score in scores if score is not None and score.value is not None]


def _unscored(rows: Sequence[Row], models: Sequence[str], objective: Objective) -> list[Metric]:
    metrics = []
    for model in models:
        count = total(rows, f"{model}:{objective.name}:unscored")
        if count:
            share = count / total(rows, f"{model}:answers")
            metrics.append(Metric(f"{objective.name}_unscored", share, len(rows), model))
    return metrics


def _weighted(
    rows: Sequence[Row], model: str, objectives: Sequence[Objective], weight: float
) -> Series:
    higher, lower = (
        [number(row, f"{model}:{objective.name}") for row in rows] for objective in objectives
    )
    return [
        None if first is None or second is None else (weight * first + second) / (weight + 1)
        for first, second in zip(higher, lower, strict=True)
    ]
