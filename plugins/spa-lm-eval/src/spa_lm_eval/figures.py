"""Figures of a task or group: the mean over documents, its standard error, paired differences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spa.api import (
    JsonValue,
    MeanInterval,
    Metric,
    mean_interval,
    rate_interval,
    share_difference_interval,
)
from spa_lm_eval.config import LmEvalConfig

__all__ = ["Row", "figures"]

Row = Mapping[str, JsonValue]
MEANS = frozenset({"mean", "nanmean"})


def figures(
    name: str, rows: Sequence[Row], models: Sequence[str], config: LmEvalConfig
) -> Iterator[Metric]:
    """Yields ``NAME:METRIC`` of every model with what belongs to it.

    Args:
        name: Of a task, or of a group, whose figures are means over the documents of all its tasks.
        rows: Of its documents.
        models: In their order, the untrained one first.
        config: How intervals are made.
    """
    summed: dict[str, str] = {}
    for row in rows:
        summed |= row["summed_by"]  # type: ignore[arg-type]
    for metric, by in summed.items():
        values = {model: [row.get(f"{model}:{metric}") for row in rows] for model in models}
        if by in MEANS and all(_is_number(each) for own in values.values() for each in own):
            yield from _means(f"{name}:{metric}", values, config)
        else:
            yield from _summed(f"{name}:{metric}", by, values)


def _means(
    name: str, values: Mapping[str, Sequence[Any]], config: LmEvalConfig
) -> Iterator[Metric]:
    """Shares, as accuracy, have intervals with a width even where all documents agree."""
    for model, own in values.items():
        known = _known(own)
        found = (
            rate_interval(int(sum(known)), len(known), confidence=config.confidence)
            if _all_or_nothing(known)
            else _mean(known, config)
        )
        yield _metric(name, model, own, found)
    for model, own in values.items():
        known = _known(own)
        if len(known) > 1:
            error = statistics.stdev(known) / math.sqrt(len(known))
            yield Metric(f"{name}_stderr", error, len(known), model, missing=len(own) - len(known))
    first, *later = values
    for model in later:
        pairs = zip(values[model], values[first], strict=True)
        gains = [None if a is None or b is None else a - b for a, b in pairs]
        found = (
            share_difference_interval(_known(gains), confidence=config.confidence)
            if _all_or_nothing(_known([*values[model], *values[first]]))
            else _mean(_known(gains), config)
        )
        yield _metric(name, f"{model} - {first}", gains, found)


def _metric(name: str, model: str, values: Sequence[Any], found: MeanInterval) -> Metric:
    known = _known(values)
    missing = len(values) - len(known)
    return Metric(name, found.mean, len(known), model, found.low, found.high, missing)


def _mean(known: Sequence[float], config: LmEvalConfig) -> MeanInterval:
    return mean_interval(
        known, confidence=config.confidence, resamples=config.resamples, seed=config.seed
    )


def _known(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values if value is not None]


def _all_or_nothing(values: Sequence[float]) -> bool:
    return all(value in (0, 1) for value in values)


def _summed(name: str, by: str, values: Mapping[str, Sequence[Any]]) -> Iterator[Metric]:
    """What is no mean, as perplexity and BLEU: by the harness's own function, if it has it."""
    from lm_eval.api import metrics

    function = getattr(metrics, by, None)
    for model, own in values.items():
        known = [each for each in own if each is not None]
        if function is not None and known:
            yield Metric(
                name, float(function(known)), len(known), model, missing=len(own) - len(known)
            )


def _is_number(value: JsonValue) -> bool:
    return value is None or isinstance(value, int | float)
