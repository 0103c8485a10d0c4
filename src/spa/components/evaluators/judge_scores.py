"""Judge scores of every model on held-out prompts: means, and what training changed in what order.

Stands at the end of the flow and asks nothing: the answers were judged before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from spa.api import EvaluationItem, JsonValue, Metric, Objective, Scored
from spa.components.evaluators.configs import JudgeScoresConfig
from spa.components.evaluators.metrics import (
    Row,
    Series,
    compared,
    differences,
    models_of,
    number,
    rate_metric,
    total,
)
from spa.components.evaluators.priority import Change, change

__all__ = ["JudgeScoresEvaluator"]


class JudgeScoresEvaluator:
    """Averages a prompt's answers first and prompts second; compares models prompt by prompt.

    Metrics, per objective: the mean of each model; for every model but the first the paired
    difference from the first, as model ``"round-1 - base"``; and, where there are any, the share
    of unscored answers, as ``"NAME_unscored"``. With `lambdas`, for two objectives, also
    ``"HH_5"`` and so on: ``HH_lambda = (lambda * first + second) / (lambda + 1)``, of arXiv
    2511.06222. Of lengths the paired difference alone, ``"length_characters"`` and, where the model
    tells its tokens, ``"length_tokens"``, which counts the end token.

    As model ``"round-1 against base"``, the shares of prompts by the mean scores of both (see
    `Change`): ``"win_rate"``, ``"tie_rate"`` and ``"lose_rate"`` in the lexicographic order; for
    several objectives also ``"priority_regret"``, ``"dominance_rate"`` and ``"dominated_rate"``.
    Scores that are drawn from continuous ones differ by chance, so these shares are not 0 for a
    model that did not change: two objectives that move independently give a regret of 1 in 4.
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
            row |= _lengths(model, answers)
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
        for model in models[1:]:
            metrics += self._against(rows, models[0], model, objectives)
        for name in ("characters", "tokens"):
            if any(f"{model}:{name}" in row for row in rows for model in models):
                series = {m: [number(row, f"{m}:{name}") for row in rows] for m in models}
                metrics += differences(f"length_{name}", series, self._config)
        return metrics

    def _against(
        self, rows: Sequence[Row], first: str, model: str, objectives: Sequence[Objective]
    ) -> list[Metric]:
        """Shares of the prompts on which both models have a score for every objective."""
        changes = [self._change(row, first, model, objectives) for row in rows]
        shares: dict[str, Callable[[Change], bool]] = {
            "win_rate": lambda each: each.order > 0,
            "tie_rate": lambda each: each.order == 0,
            "lose_rate": lambda each: each.order < 0,
        }
        if len(objectives) > 1:
            shares |= {
                "priority_regret": lambda each: each.regret,
                "dominance_rate": lambda each: each.dominates,
                "dominated_rate": lambda each: each.dominated,
            }
        return [
            rate_metric(
                name,
                f"{model} against {first}",
                [None if each is None else holds(each) for each in changes],
                self._config,
            )
            for name, holds in shares.items()
        ]

    def _change(
        self, row: Row, first: str, model: str, objectives: Sequence[Objective]
    ) -> Change | None:
        earlier, later = (
            [value for o in objectives if (value := number(row, f"{m}:{o.name}")) is not None]
            for m in (first, model)
        )
        if len(earlier) < len(objectives) or len(later) < len(objectives):
            return None
        return change(earlier, later, objectives, tie_tolerance=self._config.tie_tolerance)


def _known(answers: Sequence[Scored], objective: Objective) -> list[float]:
    scores = (answer.scores.get(objective.name) for answer in answers)
    return [score.value for score in scores if score is not None and score.value is not None]


def _lengths(model: str, answers: Sequence[Scored]) -> dict[str, JsonValue]:
    """Mean lengths; of tokens only where those of every answer are known."""
    if not answers:
        return {}
    found: dict[str, JsonValue] = {
        f"{model}:characters": sum(len(each.response.text) for each in answers) / len(answers)
    }
    tokens = [len(each.response.token_ids) for each in answers]
    if all(tokens):
        found[f"{model}:tokens"] = sum(tokens) / len(tokens)
    return found


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
