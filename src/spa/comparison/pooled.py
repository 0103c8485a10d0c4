"""The mean of values over seeds and prompts, when both are drawn from many.

Part of the comparison of settings that were run with several seeds. Every value belongs to a seed
and a prompt, and values of one seed, and of one prompt, vary together. With few seeds a bootstrap
of them cannot tell how much seeds differ (of three, no draw lies outside the three), so the
interval is Student's t with the variance of both, and as many degrees of freedom as they leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["PooledMean", "pooled_mean"]

_ROUNDING = 1e-9


class PooledMean(NamedTuple):
    """A mean over seeds and prompts.

    Attributes:
        mean: Over all values.
        low: Lower end of the interval.
        high: Upper end.
        p_value: Two-sided, of the hypothesis that the mean over all seeds and prompts is 0; None
            where all values are equal, which leaves nothing to test with.
        degrees: Of freedom; None likewise.
    """

    mean: float
    low: float
    high: float
    p_value: float | None
    degrees: float | None


def pooled_mean(
    values_SQ: npt.NDArray[np.float64], *, confidence: float = 0.95
) -> PooledMean | None:
    """Mean of S seeds and Q prompts, with the interval of a crossed random-effects model.

    ``value = mean + seed + prompt + rest``, each with a variance of its own. These come from the
    mean squared differences of values of one prompt, of one seed, and of neither, so that some may
    be missing; where none is, they are those of the analysis of variance, and the variance of the
    mean is ``(max(MSS - MSR, 0) + MSQ) / SQ``. Degrees of freedom are Satterthwaite's (Biometrics
    Bulletin 2, 1946). If no two seeds share a prompt, prompts lie within seeds, and it is the t
    interval of the seeds' means.

    Args:
        values_SQ: NaN where a seed does not have a prompt.
        confidence: Coverage aimed at, in (0, 1).

    Returns:
        None for fewer than two seeds or two prompts with a value.
    """
    import numpy as np
    from scipy import special

    known_SQ = np.isfinite(values_SQ)
    seeds, prompts = (int(known_SQ.any(axis=axis).sum()) for axis in (1, 0))
    if seeds < 2 or prompts < 2:
        return None
    found = values_SQ[known_SQ]
    mean = float(found.mean())
    if np.ptp(found) <= _ROUNDING * np.abs(found).max():
        return PooledMean(mean, mean, mean, None, None)
    variance, degrees = _variance(np.where(known_SQ, values_SQ - mean, 0.0), known_SQ)
    error = float(np.sqrt(variance))
    half = float(special.stdtrit(degrees, (1 + confidence) / 2)) * error
    p_value = float(2 * special.stdtr(degrees, -abs(mean) / error))
    return PooledMean(mean, mean - half, mean + half, p_value, float(degrees))


def _variance(
    centred_SQ: npt.NDArray[np.float64], known_SQ: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """Variance of the mean, above 0, and its degrees of freedom."""
    import numpy as np

    count = int(known_SQ.sum())
    of_seed_S, of_prompt_Q = known_SQ.sum(axis=1), known_SQ.sum(axis=0)
    seeds, prompts = int(np.count_nonzero(of_seed_S)), int(np.count_nonzero(of_prompt_Q))
    one_seed = _half_squares(centred_SQ, of_seed_S, 1)
    one_prompt = _half_squares(centred_SQ, of_prompt_Q, 0)
    neither = _half_squares(centred_SQ.reshape(-1, 1), np.array([count]), 0) - one_seed - one_prompt
    crossed = one_prompt[1] > 0
    within_seed, within_prompt, across = map(_mean, (one_seed, one_prompt, neither))
    rest = within_seed + within_prompt - across if crossed else within_seed
    by_seed = (across - within_seed) * float(np.square(of_seed_S / count).sum())
    by_prompt = (within_seed - rest) * float(np.square(of_prompt_Q / count).sum())
    # MSS, MSQ and MSR over SQ, where no value is missing.
    first, second, third = by_seed + rest / count, by_prompt + rest / count, rest / count
    if not crossed:
        return (first, seeds - 1) if first > third else (third, count - seeds)
    if first > third:
        variance = first - third + max(second, 0.0)
        free = (seeds - 1, prompts - 1, (seeds - 1) * (prompts - 1))
        parts = zip((first, second, third), free, strict=True)
        return variance, variance**2 / sum(each**2 / own for each, own in parts)
    # Missing values can make the estimate negative; then prompts count as if drawn apart.
    return (second if second > 0 else within_seed / count), prompts - 1


def _half_squares(
    centred: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64], axis: int
) -> npt.NDArray[np.float64]:
    """Sum of half the squared differences of pairs within groups, and how many pairs there are.

    Of n values, each pair in both orders, they are ``n sum(x^2) - (sum x)^2`` and ``n (n - 1)``.
    """
    import numpy as np

    squares, sums = np.square(centred).sum(axis=axis), centred.sum(axis=axis)
    return np.array([(sizes * squares - sums**2).sum(), (sizes * (sizes - 1)).sum()], dtype=float)


def _mean(pairs: npt.NDArray[np.float64]) -> float:
    return float(pairs[0] / pairs[1]) if pairs[1] else 0.0
