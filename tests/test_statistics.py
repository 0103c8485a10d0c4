"""Intervals equal scipy's, are reproducible, and exist where there is little to say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spa.statistics import MeanInterval, mean_interval, rate_interval, statistic_interval

DATA = [5.0, 6.5, 7.0, 3.25, 8.0, 5.5, 6.0]


def test_equals_scipy() -> None:
    expected = stats.bootstrap(
        (DATA,),
        np.mean,
        n_resamples=2000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    found = mean_interval(DATA, confidence=0.9, resamples=2000, seed=3)
    assert found == MeanInterval(np.mean(DATA), expected.low, expected.high)


def test_equals_a_bootstrap_written_out() -> None:
    rng = np.random.default_rng(99)
    means = rng.choice(DATA, size=(40_000, len(DATA))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    found = mean_interval(DATA, resamples=40_000)
    assert found.low == pytest.approx(low, abs=0.05)
    assert found.high == pytest.approx(high, abs=0.05)


def test_batches_do_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mean_interval(DATA, resamples=999)
    monkeypatch.setattr("spa.statistics._DRAWS_AT_ONCE", 100)
    assert mean_interval(DATA, resamples=999) == whole


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], MeanInterval(None, None, None)),
        ([4.0], MeanInterval(4.0, None, None)),
        ([0.1, 0.1, 0.1], MeanInterval(0.1, 0.1, 0.1)),
    ],
)
def test_little_data(values: Any, expected: Any) -> None:
    assert mean_interval(values) == expected


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_stays_in_the_range_of_the_data_and_around_the_mean(values: Any) -> None:
    found = mean_interval(values, resamples=200)
    assert found.mean is not None
    assert found.low is not None
    assert found.high is not None
    assert min(values) - 1e-12 <= found.low <= found.high <= max(values) + 1e-12
    assert found == mean_interval(values, resamples=200), "the seed decides"


def test_covers_the_true_mean_about_as_often_as_it_says() -> None:
    """A skewed distribution, as differences of scores are; 60 prompts."""
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(1000):
        found = mean_interval(rng.beta(2, 4, size=60).tolist(), resamples=500, seed=trial)
        hits += found.low <= 1 / 3 <= found.high  # type: ignore[operator]
    assert 0.93 <= hits / 1000 <= 0.97


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "prompts"), [(0, 5), (1, 1), (3, 20), (60, 97), (40, 40)])
def test_a_rate_has_the_interval_of_scipy(successes: int, prompts: int, confidence: float) -> None:
    expected = stats.binomtest(successes, prompts).proportion_ci(confidence, method="wilson")
    found = rate_interval(successes, prompts, confidence=confidence)
    assert found.mean == successes / prompts
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert rate_interval(0, 0) == MeanInterval(None, None, None)


@pytest.mark.parametrize("prompts", [40, 60, 100])
def test_a_rate_is_covered_as_often_as_it_says(prompts: int) -> None:
    """Worked out, not simulated: over all counts of prompts, and over rates from 0.05 to 0.95."""
    found = [rate_interval(successes, prompts) for successes in range(prompts + 1)]
    lows, highs = (np.array(ends) for ends in list(zip(*found, strict=True))[1:])
    rates = np.linspace(0.05, 0.95, 181)[:, None]
    likely = stats.binom.pmf(np.arange(prompts + 1), prompts, rates)
    covered = (likely * ((lows <= rates) & (rates <= highs))).sum(axis=1)
    assert 0.94 <= covered.mean() <= 0.96
    assert np.quantile(covered, 0.05) >= 0.93


def of_means(counts: Any) -> Any:
    return counts @ np.array(DATA) / counts.sum(-1)


def test_the_interval_of_any_figure_equals_that_of_a_mean() -> None:
    found = statistic_interval(of_means, len(DATA), confidence=0.9, resamples=2000, seed=3)
    expected = mean_interval(DATA, confidence=0.9, resamples=2000, seed=3)
    assert found == pytest.approx((expected.low, expected.high))


def test_draws_without_a_figure_are_left_out() -> None:
    def sometimes(counts: Any) -> Any:
        """NaN where the first value was not drawn."""
        return np.where(counts[:, 0] > 0, of_means(counts), np.nan)

    found = statistic_interval(sometimes, len(DATA))
    whole = statistic_interval(of_means, len(DATA))
    assert found is not None
    assert whole is not None
    assert found[0] < found[1] < whole[1], "with one small value drawn for sure, means are smaller"
    assert statistic_interval(lambda counts: np.full(len(counts), np.nan), 5) is None
    assert statistic_interval(of_means, 1) is None
