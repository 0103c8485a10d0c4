"""Means over seeds and prompts against the analysis of variance and scipy's t test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from spa.comparison.pooled import pooled_mean


def table(seeds: int, prompts: int, by_seed: float, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return (
        by_seed * rng.normal(size=(seeds, 1))
        + rng.normal(size=(1, prompts))
        + rng.normal(size=(seeds, prompts))
    )


@pytest.mark.parametrize("by_seed", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("seeds", "prompts"), [(2, 9), (3, 20), (5, 12)])
def test_it_is_the_analysis_of_variance(seeds: int, prompts: int, by_seed: float) -> None:
    values = table(seeds, prompts, by_seed)
    mean, of_seed, of_prompt = values.mean(), values.mean(axis=1), values.mean(axis=0)
    rest = values - of_seed[:, None] - of_prompt + mean
    free = np.array([seeds - 1, prompts - 1, (seeds - 1) * (prompts - 1)])
    squares = np.array(
        [
            prompts * ((of_seed - mean) ** 2).sum(),
            seeds * ((of_prompt - mean) ** 2).sum(),
            (rest**2).sum(),
        ]
    )
    first, second, third = squares / free
    if first > third:
        scale = first + second - third
        degrees = scale**2 / (np.array([first, second, third]) ** 2 / free).sum()
    else:
        scale, degrees = second, free[1]
    error = np.sqrt(scale / (seeds * prompts))
    found = pooled_mean(values)
    assert found is not None
    expected = stats.t.interval(0.95, degrees, loc=mean, scale=error)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(mean) / error, degrees), abs=1e-9)
    assert (found.mean, found.degrees) == pytest.approx((mean, degrees), abs=1e-9)


def test_of_prompts_within_seeds_it_is_the_t_interval_of_the_seeds_means() -> None:
    rng = np.random.default_rng(1)
    values = np.full((4, 40), np.nan)
    for seed in range(4):
        values[seed, seed * 10 : seed * 10 + 10] = rng.normal(size=10) + 2 * rng.normal()
    expected = stats.ttest_1samp(np.nanmean(values, axis=1), 0)
    found = pooled_mean(values)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(), abs=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9)


def test_seeds_that_say_the_same_add_nothing() -> None:
    one = table(1, 30, 0.0)
    found = pooled_mean(np.repeat(one, 3, axis=0))
    assert found is not None
    expected = stats.ttest_1samp(one[0], 0)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(), abs=1e-9)


def test_missing_values_change_little() -> None:
    values = table(4, 60, 0.5)
    whole = pooled_mean(values)
    values[1, 7] = values[2, 30] = np.nan
    found = pooled_mean(values)
    assert whole is not None
    assert found is not None
    assert (found.low, found.high) == pytest.approx((whole.low, whole.high), abs=0.05)


def test_little_data() -> None:
    assert pooled_mean(np.ones((1, 5))) is None
    assert pooled_mean(np.ones((3, 1))) is None
    assert pooled_mean(np.full((3, 4), 2.0)) == (2.0, 2.0, 2.0, None, None)
