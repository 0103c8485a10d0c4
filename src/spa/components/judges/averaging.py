"""Puts the readings of one score together: over repeats, then orders, then rubrics.

Each step turns several scores into one and leaves a lone score as it is. Used by the judge
`constitution`, after every answer was read by itself.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from spa.api import JsonValue, Score
from spa.components.judges.configs import ConstitutionConfig

__all__ = ["average"]


def average(scores: Sequence[Score], config: ConstitutionConfig) -> Score:
    """One score from those of all its readings.

    Args:
        scores: By template, then by order, then by repeat, as `readings_of` lists them.
        config: How many there are of each, and how many must be scored.
    """
    settled = [_repeats(each, config.min_scored) for each in _chunks(scores, config.repeats)]
    directed = [_orders(each, config.orders) for each in _chunks(settled, len(config.orders))]
    return _rubrics(directed, config.min_scored)


def _chunks(scores: Sequence[Score], size: int) -> list[Sequence[Score]]:
    return [scores[start : start + size] for start in range(0, len(scores), size)]


def _repeats(scores: Sequence[Score], min_scored: float) -> Score:
    """The mean of the numbers that could be read, with their variance (ddof = 1)."""
    if len(scores) == 1:
        return scores[0]
    values = _values(scores)
    details: dict[str, JsonValue] = {
        "variance": statistics.variance(values) if len(values) > 1 else None,
        "parsed": len(values),
        "texts": [score.details.get("text") for score in scores],
    }
    return _mean(scores, min_scored, details)


def _orders(scores: Sequence[Score], names: Sequence[str]) -> Score:
    """The mean of both orders; one alone would carry the bias that the other takes away."""
    if len(scores) == 1:
        return scores[0]
    details: dict[str, JsonValue] = {
        name.replace("-", "_"): _record(score) for name, score in zip(names, scores, strict=True)
    }
    first, second = (score.value for score in scores)
    details["difference"] = None if first is None or second is None else first - second
    return _mean(scores, 1.0, details)


def _rubrics(scores: Sequence[Score], min_scored: float) -> Score:
    """The mean of the rubrics that scored, with their standard deviation (ddof = 1)."""
    if len(scores) == 1:
        return scores[0]
    values = _values(scores)
    details: dict[str, JsonValue] = {
        "rubrics": [_record(score) for score in scores],
        "standard_deviation": statistics.stdev(values) if len(values) > 1 else None,
    }
    return _mean(scores, min_scored, details)


def _mean(scores: Sequence[Score], min_scored: float, details: dict[str, JsonValue]) -> Score:
    """The mean of what is scored; unscored with the first reason where that is too little."""
    values = _values(scores)
    if not values or len(values) < min_scored * len(scores):
        reason = next(score.reason for score in scores if score.value is None)
        return Score(None, reason, details)
    return Score(statistics.fmean(values), details=details)


def _values(scores: Sequence[Score]) -> list[float]:
    return [score.value for score in scores if score.value is not None]


def _record(score: Score) -> dict[str, JsonValue]:
    record: dict[str, JsonValue] = {"value": score.value, **score.details}
    return record if score.reason is None else {**record, "reason": score.reason}
