"""From evaluation rows to `Metric` values: one number a prompt, then mean and interval.

Shared by the evaluators. A row is the flat record of one prompt; a missing or null entry means that
the prompt could not be counted, and makes it part of `Metric.missing` instead of a 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from spa.api import JsonValue, Metric, mean_interval
from spa.components.evaluators.configs import IntervalConfig

__all__ = [
    "Row",
    "Series",
    "compared",
    "difference",
    "mean_metric",
    "models_of",
    "number",
    "series_of",
    "total",
]

Row: TypeAlias = Mapping[str, JsonValue]
Series: TypeAlias = list[float | None]
"""One value a prompt, ``None`` where there is none."""


def models_of(rows: Sequence[Row]) -> list[str]:
    """The models that the rows compare, the untrained one first."""
    found: dict[str, None] = {}
    for row in rows:
        names = row["models"]
        if isinstance(names, Sequence):
            found |= dict.fromkeys(str(name) for name in names)
    return list(found)


def number(row: Row, key: str) -> float | None:
    """A number of the row, ``None`` if it is null or not there."""
    value = row.get(key)
    return float(value) if isinstance(value, int | float) else None


def series_of(rows: Sequence[Row], models: Sequence[str], key: str) -> dict[str, Series]:
    """The numbers of every model, whose key is ``MODEL:KEY``."""
    return {model: [number(row, f"{model}:{key}") for row in rows] for model in models}


def total(rows: Sequence[Row], key: str) -> float:
    """The sum over rows of a count."""
    return sum(number(row, key) or 0.0 for row in rows)


def difference(later: Series, earlier: Series) -> Series:
    """``later - earlier`` prompt by prompt, where both have a value."""
    return [
        None if new is None or old is None else new - old
        for new, old in zip(later, earlier, strict=True)
    ]


def mean_metric(name: str, model: str, values: Series, config: IntervalConfig) -> Metric:
    """Mean over the prompts that have a value, with its interval; the others are `missing`."""
    known = [value for value in values if value is not None]
    found = mean_interval(
        known, confidence=config.confidence, resamples=config.resamples, seed=config.seed
    )
    return Metric(
        name=name,
        value=found.mean,
        n=len(known),
        model=model,
        low=found.low,
        high=found.high,
        missing=len(values) - len(known),
    )


def compared(name: str, series: Mapping[str, Series], config: IntervalConfig) -> list[Metric]:
    """The mean of every model, then the paired difference of each later one from the first.

    Args:
        name: Of the figure.
        series: Model to its values, the untrained model first.
        config: How intervals are made.
    """
    models = list(series)
    means = [mean_metric(name, model, series[model], config) for model in models]
    return means + [
        mean_metric(
            name,
            f"{model} - {models[0]}",
            difference(series[model], series[models[0]]),
            config,
        )
        for model in models[1:]
    ]
