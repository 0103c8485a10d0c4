"""Differences between two runs, prompt by prompt, and how sure they are.

The same prompt is as hard for one run as for the other, so differences within a prompt vary less
than the values do; what is drawn anew, and what is turned around, are prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spa.statistics import mean_interval

__all__ = ["PairedDifference", "holm", "paired_difference", "paired_over_seeds"]

_DRAWS_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean difference over the prompts that both runs have.

    Attributes:
        mean: Later less earlier.
        low: Lower end of the bootstrap interval; None for fewer than two prompts.
        high: Upper end.
        p_value: Two-sided, of the hypothesis that signs are as likely as not; None likewise.
        n: Prompts that both have.
        by_seed: The mean of each seed, where there are several.
    """

    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    n: int
    by_seed: tuple[float, ...] = ()


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

    common = sorted(later.keys() & earlier.keys())
    values = np.array([later[each] - earlier[each] for each in common])
    if not len(values):
        return None
    interval = mean_interval(values.tolist(), confidence=confidence, resamples=resamples, seed=seed)
    p_value = _turned(values, resamples, seed)
    return PairedDifference(float(values.mean()), interval.low, interval.high, p_value, len(values))


def paired_over_seeds(
    later: Mapping[str, Mapping[str, float]],
    earlier: Mapping[str, Mapping[str, float]],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedDifference | None:
    """The difference of two figures by prompt, each measured with several seeds.

    A prompt's difference is taken within a seed. The bootstrap draws seeds and prompts, each with
    replacement, so the interval is wider where seeds disagree. It is still too narrow for few
    seeds, as any bootstrap of few values is. Signs are turned for all seeds of a prompt at once.

    Args:
        later: Seed to prompt id to value.
        earlier: Likewise.
        confidence: Coverage of the interval.
        resamples: Drawings of the bootstrap, and most turns of signs.
        seed: The same values and seed give the same result.

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
    values, known = np.zeros((2, len(seeds), len(prompts)))
    for row, each in enumerate(seeds):
        for prompt in later[each].keys() & earlier[each].keys():
            values[row, place[prompt]] = later[each][prompt] - earlier[each][prompt]
            known[row, place[prompt]] = 1
    interval = _over_seeds_and_prompts(values, known, confidence, resamples, seed)
    low, high = (None, None) if len(prompts) < 2 else interval
    by_seed = tuple((values.sum(axis=1) / known.sum(axis=1)).tolist())
    p_value = _turned(values.sum(axis=0), resamples, seed)
    mean = float(values.sum() / known.sum())
    return PairedDifference(mean, low, high, p_value, len(prompts), by_seed)


def _over_seeds_and_prompts(
    values: Any,  # noqa: ANN401 - an array (seeds, prompts), 0 where there is none
    known: Any,  # noqa: ANN401 - likewise, 1 where there is a value
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[float, float] | tuple[None, None]:
    """Percentile interval of the mean over draws of seeds and prompts."""
    import numpy as np

    rng = np.random.default_rng(seed)
    seeds, prompts = values.shape
    drawn = []
    left = resamples
    while left:
        count = min(left, max(1, _DRAWS_AT_ONCE // prompts))
        left -= count
        of_seeds = rng.multinomial(seeds, [1 / seeds] * seeds, count)
        of_prompts = rng.multinomial(prompts, [1 / prompts] * prompts, count)
        total = ((of_seeds @ known) * of_prompts).sum(axis=1)
        summed = ((of_seeds @ values) * of_prompts).sum(axis=1)
        drawn.append(summed[total > 0] / total[total > 0])
    means = np.concatenate(drawn)
    if not len(means):
        return None, None
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


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
