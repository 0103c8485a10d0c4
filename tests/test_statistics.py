"""Intervals equal scipy's, are reproducible, and exist where there is little to say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spa.statistics import (
    MeanInterval,
    mean_interval,
    rate_interval,
    share_difference_interval,
    statistic_interval,
)

DATA = [5.0, 6.5, 7.0, 3.25, 8.0, 5.5, 6.0]


def expanded(confidence: float, n: int) -> float:
    """The level at which a percentile interval is as wide as that of Student's t."""
    t = stats.t.ppf((1 + confidence) / 2, n - 1)
    return float(2 * stats.norm.cdf(t * np.sqrt(n / (n - 1))) - 1)


def test_equals_scipy_at_the_expanded_level() -> None:
    expected = stats.bootstrap(
        (DATA,),
        np.mean,
        n_resamples=2000,
        confidence_level=expanded(0.9, len(DATA)),
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    found = mean_interval(DATA, confidence=0.9, resamples=2000, seed=3)
    assert found == pytest.approx((np.mean(DATA), expected.low, expected.high), abs=1e-9)


def test_of_normal_values_it_is_the_t_interval_of_scipy() -> None:
    values = stats.norm.ppf((np.arange(40) + 0.5) / 40)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = mean_interval(values.tolist(), resamples=40_000)
    assert found[1:] == pytest.approx((expected.low, expected.high), rel=0.02)


def test_equals_a_bootstrap_written_out() -> None:
    rng = np.random.default_rng(99)
    means = rng.choice(DATA, size=(40_000, len(DATA))).mean(axis=1)
    tail = (1 - expanded(0.95, len(DATA))) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
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


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "prompts"), [(0, 5), (1, 1), (3, 20), (60, 97), (40, 40)])
def test_a_rate_has_the_interval_of_scipy(successes: int, prompts: int, confidence: float) -> None:
    expected = stats.binomtest(successes, prompts).proportion_ci(confidence, method="wilson")
    found = rate_interval(successes, prompts, confidence=confidence)
    assert found.mean == successes / prompts
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert rate_interval(0, 0) == MeanInterval(None, None, None)


@pytest.mark.parametrize("confidence", [0.5, 0.95])
@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=2, max_size=40))
def test_a_difference_of_shares_has_the_interval_of_bonett_and_price(
    confidence: float, differences: list[int]
) -> None:
    """Written out: a Wald interval with one more prompt that rose, and one more that fell."""
    values = np.array([*differences, 1, -1])
    z = stats.norm.ppf((1 + confidence) / 2)
    half = z * values.std(ddof=0) / np.sqrt(len(values))
    mean = np.mean(differences)
    low = min(mean, max(-1, values.mean() - half))
    high = max(mean, min(1, values.mean() + half))
    found = share_difference_interval(differences, confidence=confidence)
    assert found == pytest.approx((mean, low, high), abs=1e-9)


def test_little_is_said_of_few_differences_of_shares() -> None:
    assert share_difference_interval([]) == MeanInterval(None, None, None)
    assert share_difference_interval([1]) == MeanInterval(1.0, None, None)
    same = share_difference_interval([0] * 30)
    assert same.low == -same.high < 0, "that 30 prompts agree does not show that all do"
    with pytest.raises(ValueError, match=r"differences of shares must be -1, 0 or 1, not 0\.5"):
        share_difference_interval([1, 0.5])


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
