"""From evaluation rows to `Metric` values: one number a prompt, then mean and interval.

Shared by the evaluators. A row is the flat record of one prompt; a missing or null entry means that
the prompt could not be counted, and makes it part of `Metric.missing` instead of a 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from spa.api import (
    JsonValue,
    MeanInterval,
    Metric,
    mean_interval,
    rate_interval,
    share_difference_interval,
)
from spa.components.evaluators.configs import IntervalConfig

__all__ = [
    "Row",
    "Series",
    "compared",
    "difference",
    "differences",
    "mean_metric",
    "models_of",
    "number",
    "rate_metric",
    "right_by",
    "series_of",
    "share_metric",
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


def right_by(row: Row, key: str, *, wrong: bool = False) -> dict[str, float]:
    """Model to its number under ``MODEL:KEY``, from 0 to 1, where there is one.

    Args:
        row: Of one prompt.
        key: What was noted.
        wrong: Whether 1 is wrong, instead of right.
    """
    known = {model: number(row, f"{model}:{key}") for model in models_of([row])}
    return {m: 1 - value if wrong else value for m, value in known.items() if value is not None}


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
    return _metric(name, model, values, found)


def rate_metric(
    name: str, model: str, values: Sequence[bool | None], config: IntervalConfig
) -> Metric:
    """Share of the prompts of which something holds, with its interval; None is `missing`."""
    known = [value for value in values if value is not None]
    found = rate_interval(sum(known), len(known), confidence=config.confidence)
    return _metric(name, model, values, found)


def share_metric(name: str, model: str, values: Series, config: IntervalConfig) -> Metric:
    """Mean of shares, in [0, 1], with its interval.

    Where each is 0 or 1 it is a share of prompts, whose interval has a width even where all agree.
    """
    known = [value for value in values if value is not None]
    if _all_or_nothing(known):
        return rate_metric(name, model, [None if v is None else v > 0 for v in values], config)
    return mean_metric(name, model, values, config)


def _all_or_nothing(values: Sequence[float]) -> bool:
    return all(value in (0, 1) for value in values)


def _metric(name: str, model: str, values: Sequence[float | None], found: MeanInterval) -> Metric:
    missing = sum(value is None for value in values)
    return Metric(
        name=name,
        value=found.mean,
        n=len(values) - missing,
        model=model,
        low=found.low,
        high=found.high,
        missing=missing,
    )


def compared(
    name: str, series: Mapping[str, Series], config: IntervalConfig, *, shares: bool = False
) -> list[Metric]:
    """The mean of every model, then `differences`.

    Args:
        name: Of the figure.
        series: Model to its values, the untrained model first.
        config: How intervals are made.
        shares: Whether the values are shares, in [0, 1]; see `share_metric`.
    """
    metric = share_metric if shares else mean_metric
    means = [metric(name, model, own, config) for model, own in series.items()]
    return means + differences(name, series, config, shares=shares)


def differences(
    name: str, series: Mapping[str, Series], config: IntervalConfig, *, shares: bool = False
) -> list[Metric]:
    """The paired difference of each later model from the first; arguments as of `compared`."""
    first, *others = series or ("",)
    return [
        _difference_metric(name, f"{model} - {first}", series[model], series[first], config, shares)
        for model in others
    ]


def _difference_metric(
    name: str, models: str, later: Series, earlier: Series, config: IntervalConfig, shares: bool
) -> Metric:
    values = difference(later, earlier)
    known = [value for value in values if value is not None]
    both = [value for value in (*later, *earlier) if value is not None]
    if not shares or not _all_or_nothing(both):
        return mean_metric(name, models, values, config)
    found = share_difference_interval(known, confidence=config.confidence)
    return _metric(name, models, values, found)
