"""Paired differences against scipy used directly, and Holm against its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spa.comparison.paired import holm, paired_difference, paired_over_seeds

EARLIER = {f"p{i}": value for i, value in enumerate([1.0, 2.0, 3.0, 2.5, 4.0, 1.5, 2.0])}
LATER = {name: value + 0.5 + 0.1 * i for i, (name, value) in enumerate(EARLIER.items())}


def test_the_same_prompts_are_compared_whatever_their_order() -> None:
    found = paired_difference(dict(reversed(LATER.items())), {**EARLIER, "other": 9.0})
    assert found is not None
    assert found.n == len(EARLIER)
    assert found.mean == pytest.approx(0.8)
    # All differences are positive, and all 2^7 turns of signs are tried.
    assert found.p_value == pytest.approx(2 / 2**7, abs=1e-12)
    assert found.low is not None
    assert found.high is not None
    assert 0.5 <= found.low < 0.8 < found.high <= 1.1


def test_the_interval_is_the_bootstrap_of_scipy() -> None:
    found = paired_difference(LATER, EARLIER, resamples=5000, seed=3)
    values = np.array([LATER[name] - EARLIER[name] for name in sorted(EARLIER)])
    n = len(values)
    expected = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=5000,
        confidence_level=2 * stats.norm.cdf(stats.t.ppf(0.975, n - 1) * (n / (n - 1)) ** 0.5) - 1,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_without_a_common_prompt_there_is_no_difference() -> None:
    assert paired_difference({"a": 1.0}, {"b": 1.0}) is None


def test_one_prompt_has_no_interval_and_equal_values_no_width() -> None:
    one = paired_difference({"a": 2.0}, {"a": 1.0})
    assert one is not None
    assert (one.mean, one.low, one.high, one.p_value, one.n) == (1.0, None, None, None, 1)
    same = paired_difference(EARLIER, EARLIER)
    assert same is not None
    assert (same.mean, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert same.same
    assert not one.same


def test_shares_of_prompts_that_agree_on_all_may_still_differ() -> None:
    right = {f"p{i}": float(i % 3 > 0) for i in range(20)}
    found = paired_difference(right, right)
    assert found is not None
    assert found.same
    assert (found.low, found.high) == pytest.approx((-0.126, 0.126), abs=0.001)
    scores = {name: value + 1 for name, value in right.items()}
    assert paired_difference(scores, scores).high == 0  # type: ignore[union-attr]


def closed_test(p_values: list[float], place: int) -> float:
    """Holm's p-value by its meaning: the worst Bonferroni test of all sets with this hypothesis."""
    others = [i for i in range(len(p_values)) if i != place]
    sets = itertools.chain.from_iterable(
        itertools.combinations(others, size) for size in range(len(others) + 1)
    )
    return max(
        min(1.0, (len(each) + 1) * min(p_values[i] for i in (place, *each))) for each in sets
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_the_closed_test(p_values: list[float]) -> None:
    for place, found in enumerate(holm(p_values)):
        assert found is not None
        assert math.isclose(found, closed_test(p_values, place), abs_tol=1e-12)


def test_holm_is_that_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    rng = np.random.default_rng(0)
    for count in (1, 2, 9, 40):
        p_values = (rng.random(count) ** 3).tolist()
        p_values[-1] = p_values[0]
        expected = multitest.multipletests(p_values, method="holm")[1]
        assert holm(p_values) == pytest.approx(expected.tolist(), abs=1e-9)


def test_what_has_no_p_value_does_not_count() -> None:
    assert holm([None, 0.01, None, 0.04]) == [None, 0.02, None, 0.04]
    assert holm([]) == []


def test_over_seeds_a_difference_is_taken_within_a_seed_and_prompt() -> None:
    earlier = {"0": EARLIER, "1": {name: value + 3 for name, value in EARLIER.items()}}
    later = {
        "0": LATER,
        "1": {name: value + 3.2 for name, value in LATER.items()},
        "2": {"p0": 99.0},
    }
    found = paired_over_seeds(later, earlier)
    assert found is not None
    assert found.by_seed == pytest.approx((0.8, 1.0))
    assert found.mean == pytest.approx(0.9)
    assert found.n == 7
    assert found.low < found.mean < found.high
    assert 0 < found.p_value < 1


def test_over_seeds_the_same_difference_everywhere_is_tested_by_signs() -> None:
    zero = {seed: dict.fromkeys(EARLIER, 0.0) for seed in "012"}
    found = paired_over_seeds({seed: dict.fromkeys(EARLIER, 0.5) for seed in "012"}, zero)
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)
    assert found.p_value == pytest.approx(2 / 2**7, abs=1e-12)
    same = paired_over_seeds(zero, zero)
    assert same.same
    assert (same.low, same.high, same.p_value) == (0.0, 0.0, 1.0)


def test_over_seeds_that_disagree_the_interval_is_wider_than_over_prompts_alone() -> None:
    rng = np.random.default_rng(0)
    parts = [s * rng.normal(size=x) for s, x in ((4, (3, 1)), (1, (1, 40)), (0.1, (3, 40)))]
    table = sum(parts)
    later = {str(s): {str(p): table[s, p] for p in range(40)} for s in range(3)}
    zero = {seed: dict.fromkeys(values, 0.0) for seed, values in later.items()}
    found = paired_over_seeds(later, zero)
    alone = paired_difference({str(p): table.mean(0)[p] for p in range(40)}, zero["0"])
    # A t interval of three seeds: 4.3 standard errors to each side.
    assert found.high - found.low > 2 * 4 * table.mean(axis=1).std(ddof=1) / 3**0.5
    assert alone.high - alone.low < 0.5 * (found.high - found.low)
    assert found.p_value > 0.05


def test_seeds_with_other_prompts_are_paired_each_by_its_own() -> None:
    later = {"0": {"a": 2.0, "b": 3.0}, "1": {"c": 5.0}}
    earlier = {"0": {"a": 1.0, "b": 1.0}, "1": {"c": 1.0, "d": 7.0}}
    found = paired_over_seeds(later, earlier)
    assert found is not None
    assert (found.mean, found.n) == (pytest.approx(7 / 3), 3)
    assert found.by_seed == (1.5, 4.0)
    assert paired_over_seeds({"0": {"a": 1.0}}, {"1": {"a": 1.0}}) is None
    assert paired_over_seeds(later, {"1": {"c": 1.0}}) == paired_difference({"c": 5.0}, {"c": 1.0})
