"""How sure a figure over prompts is: a bootstrap over prompts, and closed intervals of shares.

Evaluators use it through ``spa.api``. A difference between two models is measured prompt by prompt
first and then handed in as one series: that is the paired bootstrap.

A percentile interval of few values is too narrow, as it leaves out what Student's t makes up for.
So its percentiles are moved out until it has the width of the t interval where values are normal:
Hesterberg's expanded percentile interval (Am. Stat. 69, 2015).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = [
    "MeanInterval",
    "mean_interval",
    "rate_interval",
    "share_difference_interval",
    "statistic_interval",
]

_DRAWS_AT_ONCE = 2_000_000
_WIDEST = 1 - 1e-12


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
    """Mean and expanded percentile bootstrap interval.

    A percentile interval is used because it always exists and never leaves the range of the data.
    With alpha = 1 - confidence, it ends at the percentiles ``Phi(-z)`` and ``Phi(z)`` with
    ``z = sqrt(n / (n - 1)) t(1 - alpha / 2; n - 1)`` instead of alpha / 2 and 1 - alpha / 2.

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
        confidence_level=_expanded(confidence, data.size),
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


def share_difference_interval(
    differences: Sequence[float], *, confidence: float = 0.95
) -> MeanInterval:
    """The difference of two shares of the same prompts, and its adjusted Wald interval.

    For figures that are 0 or 1 for every prompt, so that only prompts on which the two differ say
    anything; few do, and a bootstrap of them is too narrow. With ``a = (up + 1) / (n + 2)`` and
    ``b = (down + 1) / (n + 2)``, of the prompts that rose and those that fell::

        (a - b)  -+  z sqrt((a + b - (a - b)^2) / (n + 2))

    It is that of Bonett and Price (J. Educ. Behav. Stat. 37, 2012), cut at -1 and 1. Measured over
    16 to 64 prompts it covers 94 % or more; where few prompts differ it is wider than need be.

    Args:
        differences: -1, 0 or 1 of every prompt.
        confidence: Coverage aimed at, in (0, 1).

    Returns:
        The mean difference with its interval, which need not have it in its middle; the interval
        is None for fewer than two prompts.

    Raises:
        ValueError: If a difference is another number.
    """
    from statistics import NormalDist  # here, as spa.api must be fast to import

    if odd := set(differences) - {-1, 0, 1}:
        raise ValueError(f"differences of shares must be -1, 0 or 1, not {sorted(odd)[0]:g}")
    n = len(differences)
    if n == 0:
        return MeanInterval(None, None, None)
    up, down = (sum(each == sign for each in differences) for sign in (1, -1))
    mean = (up - down) / n
    if n == 1:
        return MeanInterval(mean, None, None)
    changed, middle = (up + down + 2) / (n + 2), (up - down) / (n + 2)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt((changed - middle**2) / (n + 2))
    return MeanInterval(
        mean, min(mean, max(-1.0, middle - half)), max(mean, min(1.0, middle + half))
    )


def statistic_interval(
    statistic: Callable[[Any], Any],
    prompts: int,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Expanded percentile bootstrap interval of a figure that is no mean over prompts.

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
    level = _expanded(confidence, prompts)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _expanded(confidence: float, prompts: int) -> float:
    """The coverage to ask of a percentile interval of the mean of n >= 2 values."""
    from scipy import special

    student = special.stdtrit(prompts - 1, (1 + confidence) / 2)
    level = 2 * special.ndtr(student * math.sqrt(prompts / (prompts - 1))) - 1
    return min(float(level), _WIDEST)
