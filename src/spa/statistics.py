"""How sure a figure over prompts is: a bootstrap over prompts, and Wilson's interval of a rate.

Evaluators use it through ``spa.api``. A difference between two models is measured prompt by prompt
first and then handed in as one series: that is the paired bootstrap.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = ["MeanInterval", "mean_interval", "rate_interval", "statistic_interval"]

_DRAWS_AT_ONCE = 2_000_000


class MeanInterval(NamedTuple):
    """A mean with its interval.

    Attributes:
        mean: ``None`` without values.
        low: Lower end, ``None`` for fewer than two values.
        high: Upper end, ``None`` for fewer than two values.
    """

    mean: float | None
    low: float | None
    high: float | None


def mean_interval(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> MeanInterval:
    """Mean and percentile bootstrap interval.

    The percentile interval is used because it always exists and never leaves the range of the
    data, so that a rate stays within [0, 1].

    Args:
        values: One value a prompt.
        confidence: Coverage aimed at, in (0, 1).
        resamples: How many times the prompts are drawn anew.
        seed: The same values and seed give the same interval.

    Returns:
        The mean with its interval. Equal values give an interval of no width.
    """
    import numpy as np  # here, as spa.api must be fast to import
    from scipy import stats  # takes about a second

    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return MeanInterval(None, None, None)
    mean = float(data.mean())
    if data.size == 1:
        return MeanInterval(mean, None, None)
    if data.min() == data.max():
        return MeanInterval(float(data[0]), float(data[0]), float(data[0]))
    found = stats.bootstrap(
        (data,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, _DRAWS_AT_ONCE // data.size),
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return MeanInterval(mean, float(found.low), float(found.high))


def rate_interval(successes: int, prompts: int, *, confidence: float = 0.95) -> MeanInterval:
    """A share of prompts and Wilson's score interval (J. Am. Stat. Assoc. 22, 1927).

    With ``p = successes / n`` and z the normal quantile of ``(1 + confidence) / 2``::

        (p + z^2 / 2n  -+  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    A bootstrap of something that holds for no prompt, or for all, gives an interval of no width,
    however few prompts there are; this one does not.

    Args:
        successes: Prompts of which it holds.
        prompts: All of them, n.
        confidence: Coverage aimed at, in (0, 1).

    Returns:
        The share with its interval; nothing without prompts.
    """
    from statistics import NormalDist  # here, as spa.api must be fast to import

    if prompts == 0:
        return MeanInterval(None, None, None)
    rate = successes / prompts
    squared = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    middle = rate + squared / (2 * prompts)
    half = math.sqrt(squared * (rate * (1 - rate) / prompts + squared / (4 * prompts**2)))
    low, high = ((middle + side) / (1 + squared / prompts) for side in (-half, half))
    # At either end the bound is the rate itself, which rounding would leave.
    return MeanInterval(rate, 0.0 if successes == 0 else low, 1.0 if successes == prompts else high)


def statistic_interval(
    statistic: Callable[[Any], Any],
    prompts: int,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of a figure that is no mean over prompts.

    Args:
        statistic: From an array of how often each prompt was drawn, (draws, prompts), to an array
            of one figure a draw, (draws,); NaN where the prompts drawn do not give one.
        prompts: How many prompts there are.
        confidence: Coverage aimed at, in (0, 1).
        resamples: How many times the prompts are drawn anew.
        seed: The same prompts and seed give the same interval.

    Returns:
        Lower and upper end over the draws that give a figure; None for fewer than two prompts or
        without such a draw.
    """
    import numpy as np  # here, as spa.api must be fast to import
    from scipy import stats

    if prompts < 2:
        return None

    def of_places(places: Any, axis: int) -> Any:  # noqa: ANN401 - arrays, of the shapes above
        rows = np.moveaxis(np.atleast_2d(places), axis, -1).reshape(-1, prompts).astype(np.int64)
        apart = rows + prompts * np.arange(len(rows))[:, None]
        counts = np.bincount(apart.ravel(), minlength=len(rows) * prompts)
        return np.asarray(statistic(counts.reshape(len(rows), prompts))).reshape(places.shape[:-1])

    with warnings.catch_warnings():
        # Draws without a figure are left out below.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap(
            (np.arange(prompts),),
            of_places,
            confidence_level=confidence,
            n_resamples=resamples,
            batch=max(1, _DRAWS_AT_ONCE // prompts),
            method="percentile",
            vectorized=True,
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size == 0:
        return None
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
