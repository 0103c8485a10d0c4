"""RV against the formula by projection matrices, its properties, and its mean over permutations."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spa.evaluation.rv import rv, rv_by_chance, sums_overall, sums_within


def by_products(x: Any, y: Any) -> float:
    """RV from the (n, n) matrices of inner products, as Escoufier defines it for operators."""
    w, v = (m @ m.T for m in (x - x.mean(axis=0), y - y.mean(axis=0)))
    return float(np.trace(w @ v) / np.sqrt(np.trace(w @ w) * np.trace(v @ v)))


@st.composite
def pairs(draw: Any) -> tuple[Any, Any]:
    """Scores from 1 to 9 of the same answers by two judges, neither of them constant."""
    n, k, other = draw(st.tuples(st.integers(3, 12), st.integers(1, 3), st.integers(1, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    return rng.uniform(1, 9, (n, k)), rng.uniform(1, 9, (n, other))


@given(pairs())
def test_it_is_the_correlation_of_matrices_of_products(pair: tuple[Any, Any]) -> None:
    assert rv(*pair) == pytest.approx(by_products(*pair), abs=1e-9)


@given(pairs())
def test_of_one_column_each_it_is_the_squared_correlation(pair: tuple[Any, Any]) -> None:
    x, y = (each[:, :1] for each in pair)
    assert rv(x, y) == pytest.approx(stats.pearsonr(x[:, 0], y[:, 0]).statistic ** 2, abs=1e-9)


@given(pairs(), st.integers(0, 100))
def test_neither_order_nor_shift_scale_and_rotation_change_it(
    pair: tuple[Any, Any], seed: int
) -> None:
    x, y = pair
    value = rv(x, y)
    assert value is not None
    assert 0 <= value <= 1 + 1e-12
    assert rv(y, x) == pytest.approx(value, abs=1e-9)
    turn = stats.ortho_group.rvs(x.shape[1], random_state=seed) if x.shape[1] > 1 else [[-1.0]]
    assert rv(7 - 3 * x @ turn, y) == pytest.approx(value, abs=1e-9)
    assert rv(x, x @ turn) == pytest.approx(1, abs=1e-9)
    rows = np.random.default_rng(seed).permutation(len(x))
    assert rv(x[rows], y[rows]) == pytest.approx(value, abs=1e-9)


@given(pairs())
def test_small_differences_of_large_scores_are_not_lost(pair: tuple[Any, Any]) -> None:
    x, y = pair
    assert rv(5 + 1e-4 * x, y) == pytest.approx(by_products(x, y), abs=1e-9)


@pytest.mark.parametrize("level", [0.0, 5.1, 1 / 3])
def test_a_judge_that_always_says_the_same_has_no_value(level: float) -> None:
    scores = np.random.default_rng(0).uniform(size=(7, 2))
    assert rv(np.full((7, 2), level), scores) is None
    assert rv_by_chance(scores, np.full((7, 2), level)) is None


def test_scores_of_other_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="scores of 3 and of 4 answers: they must be the same"):
        rv(np.ones((3, 1)), np.ones((4, 1)))


def test_by_chance_is_the_mean_over_all_permutations() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(size=(6, 2)), rng.uniform(size=(6, 3))
    values = [by_products(x, y[list(order)]) for order in itertools.permutations(range(6))]
    assert rv_by_chance(x, y) == pytest.approx(np.mean(values), abs=1e-9)


def groups_of(sizes: list[int], seed: int) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(n, 2)), rng.normal(size=(n, 2))) for n in sizes]


def test_within_prompts_by_chance_permutes_within_them() -> None:
    groups = groups_of([3, 4], 1)
    orders = itertools.product(*(itertools.permutations(range(n)) for n in (3, 4)))
    values = [
        sums_within([(x, y[list(o)]) for (x, y), o in zip(groups, each, strict=True)]).coefficient()
        for each in orders
    ]
    assert sums_within(groups).by_chance() == pytest.approx(np.mean(values), abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=6), st.integers(0, 10**6))
def test_drawn_groups_are_groups_written_out(sizes: list[int], seed: int) -> None:
    groups = groups_of(sizes, seed)
    rng = np.random.default_rng(seed)
    places = rng.integers(len(groups), size=(3, len(groups)))
    counts = np.array([np.bincount(each, minlength=len(groups)) for each in places])
    overall, within = sums_overall(groups), sums_within(groups)
    for draw, value, own in zip(
        places, overall.coefficient(counts), within.coefficient(counts), strict=True
    ):
        x, y = (np.concatenate([groups[g][side] for g in draw]) for side in (0, 1))
        if len(np.unique(x, axis=0)) > 1:
            assert value == pytest.approx(by_products(x, y), abs=1e-9)
        else:
            assert np.isnan(value)
        x, y = (
            np.concatenate([groups[g][side] - groups[g][side].mean(axis=0) for g in draw])
            for side in (0, 1)
        )
        if x.any():
            assert own == pytest.approx(by_products(x, y), abs=1e-9)
        else:
            assert np.isnan(own)


def test_some_groups_are_those_groups_alone() -> None:
    groups = groups_of([3, 4, 5, 3], 2)
    part = sums_overall(groups).of(1, 3).coefficient()[0]
    assert part == pytest.approx(sums_overall(groups[1:3]).coefficient()[0], abs=1e-9)
