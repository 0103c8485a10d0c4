"""Differences between two runs, prompt by prompt, and how sure they are.

The same prompt is as hard for one run as for the other, so differences within a prompt vary less
than the values do; what is drawn anew, and what is turned around, are prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spa.statistics import mean_interval

__all__ = ["PairedDifference", "holm", "paired_difference"]


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean difference over the prompts that both runs have.

    Attributes:
        mean: Later less earlier.
        low: Lower end of the bootstrap interval; None for fewer than two prompts.
        high: Upper end.
        p_value: Two-sided, of the hypothesis that signs are as likely as not; None likewise.
        n: Prompts that both have.
    """

    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    n: int


def paired_difference(
    later: Mapping[str, float],
    earlier: Mapping[str, float],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedDifference | None:
    """The difference of two figures by prompt.

    Args:
        later: Prompt id to value.
        earlier: Prompt id to value.
        confidence: Coverage of the interval.
        resamples: Drawings of the bootstrap, and most turns of signs.
        seed: The same values and seed give the same result.

    Returns:
        None if the runs have no prompt in common.
    """
    import numpy as np
    from scipy import stats

    common = sorted(later.keys() & earlier.keys())
    values = np.array([later[each] - earlier[each] for each in common])
    if not len(values):
        return None
    interval = mean_interval(values.tolist(), confidence=confidence, resamples=resamples, seed=seed)
    p_value = None
    if len(values) > 1:
        # All 2^n ways to turn the signs where they are no more than the resamples.
        turned = stats.permutation_test(
            (values,),
            np.mean,
            permutation_type="samples",
            vectorized=True,
            n_resamples=resamples,
            rng=np.random.default_rng(seed),
        )
        p_value = float(turned.pvalue)
    return PairedDifference(float(values.mean()), interval.low, interval.high, p_value, len(values))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for their number by Holm's step-down method (Scand. J. Statist. 6, 1979).

    The i-th smallest of m, counted from 0, is multiplied by m - i; none is less than a smaller one
    before it, and none is above 1.

    Args:
        p_values: One a comparison; None where there is none, which does not count.

    Returns:
        In the same order.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p_value, place) in enumerate(known):
        highest = max(highest, min(1.0, p_value * (len(known) - rank)))
        adjusted[place] = highest
    return adjusted
