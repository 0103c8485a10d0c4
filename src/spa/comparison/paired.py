"""Differences between two runs, prompt by prompt, and how sure they are.

The same prompt is as hard for one run as for the other, so differences within a prompt vary less
than the values do; what is drawn anew, and what is turned around, are prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spa.comparison.pooled import pooled_mean
from spa.statistics import mean_interval, share_difference_interval

__all__ = ["PairedDifference", "holm", "paired_difference", "paired_over_seeds"]


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean difference over the prompts that both runs have.

    Attributes:
        mean: Later less earlier.
        low: Lower end of the interval; None for fewer than two prompts.
        high: Upper end.
        p_value: Two-sided, of the hypothesis that signs are as likely as not, or, over several
            seeds, that the mean is 0; None likewise.
        n: Prompts that both have.
        by_seed: The mean of each seed, where there are several.
        same: Whether the two agree on every prompt.
    """

    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    n: int
    by_seed: tuple[float, ...] = ()
    same: bool = False


def paired_difference(
    later: Mapping[str, float],
    earlier: Mapping[str, float],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedDifference | None:
    """The difference of two figures by prompt.

    The interval is that of a bootstrap over prompts; of a figure that is 0 or 1 for every prompt,
    `share_difference_interval`.

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

    common = sorted(later.keys() & earlier.keys())
    values = np.array([later[each] - earlier[each] for each in common])
    if not len(values):
        return None
    if {side[each] for each in common for side in (later, earlier)} <= {0, 1}:
        interval = share_difference_interval(values.tolist(), confidence=confidence)
    else:
        interval = mean_interval(
            values.tolist(), confidence=confidence, resamples=resamples, seed=seed
        )
    return PairedDifference(
        mean=float(values.mean()),
        low=interval.low,
        high=interval.high,
        p_value=_turned(values, resamples, seed),
        n=len(values),
        same=not values.any(),
    )


def paired_over_seeds(
    later: Mapping[str, Mapping[str, float]],
    earlier: Mapping[str, Mapping[str, float]],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedDifference | None:
    """The difference of two figures by prompt, each measured with several seeds.

    A prompt's difference is taken within a seed. Interval and p-value are those of `pooled_mean`,
    which takes seeds as well as prompts for drawn from many: the interval is wider where seeds
    disagree.

    Args:
        later: Seed to prompt id to value.
        earlier: Likewise.
        confidence: Coverage of the interval.
        resamples: Of `paired_difference`, where one seed alone is in common.
        seed: Likewise.

    Returns:
        None if there is no seed and prompt that both have. ``n`` counts prompts, whatever the
        number of their seeds.
    """
    import numpy as np

    seeds = [each for each in later if earlier.get(each, {}).keys() & later[each].keys()]
    if not seeds:
        return None
    if len(seeds) == 1:
        return paired_difference(
            later[seeds[0]],
            earlier[seeds[0]],
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        )
    prompts = sorted({p for each in seeds for p in later[each].keys() & earlier[each].keys()})
    place = {prompt: column for column, prompt in enumerate(prompts)}
    values = np.full((len(seeds), len(prompts)), np.nan)
    for row, each in enumerate(seeds):
        for prompt in later[each].keys() & earlier[each].keys():
            values[row, place[prompt]] = later[each][prompt] - earlier[each][prompt]
    found = pooled_mean(values, confidence=confidence)
    p_value = None if found is None else found.p_value
    if found is not None and p_value is None:  # all differences are equal
        p_value = _turned(np.nanmean(values, axis=0), resamples, seed)
    return PairedDifference(
        mean=float(np.nanmean(values)),
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        p_value=p_value,
        n=len(prompts),
        by_seed=tuple(np.nanmean(values, axis=1).tolist()),
        same=not np.nan_to_num(values).any(),
    )


def _turned(values: Any, resamples: int, seed: int) -> float | None:  # noqa: ANN401 - an array
    """P-value of turning the signs of values; None for fewer than two."""
    import numpy as np
    from scipy import stats

    if len(values) < 2:
        return None
    # All 2^n ways to turn the signs where they are no more than the resamples.
    turned = stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    return float(turned.pvalue)


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
