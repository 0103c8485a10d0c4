"""The order is a total preorder and does what the method says of ties and thresholds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.order import lexicographic_key, score_gap, score_margin
from spa.types import Objective

FINITE = st.floats(-20, 20)
INTEGERS = st.integers(1, 10).map(float)
TOLERANCES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 3.0])


@st.composite
def orders(draw: st.DrawFn, scores: st.SearchStrategy[float], vectors: int) -> Any:
    """Objectives, a tolerance and some score vectors."""
    count = draw(st.integers(1, 4))
    objectives = [Objective(f"o{k}", "", threshold=draw(st.none() | scores)) for k in range(count)]
    found = [tuple(draw(scores) for _ in range(count)) for _ in range(vectors)]
    return objectives, draw(TOLERANCES), found


def at_least(left: Any, right: Any, objectives: Any, tolerance: Any) -> bool:
    key = [lexicographic_key(v, objectives, tie_tolerance=tolerance) for v in (left, right)]
    return key[0] >= key[1]


@given(orders(FINITE, 3))
def test_is_a_total_preorder(case: Any) -> None:
    objectives, tolerance, (a, b, c) = case
    assert at_least(a, a, objectives, tolerance)
    assert at_least(a, b, objectives, tolerance) or at_least(b, a, objectives, tolerance)
    if at_least(a, b, objectives, tolerance) and at_least(b, c, objectives, tolerance):
        assert at_least(a, c, objectives, tolerance)


@given(orders(FINITE, 2))
def test_is_antisymmetric_up_to_ties(case: Any) -> None:
    objectives, tolerance, (a, b) = case
    if at_least(a, b, objectives, tolerance) and at_least(b, a, objectives, tolerance):
        assert lexicographic_key(a, objectives, tie_tolerance=tolerance) == lexicographic_key(
            b, objectives, tie_tolerance=tolerance
        )
        met = [
            [
                v if o.threshold is None else min(v, o.threshold)
                for v, o in zip(vector, objectives, strict=True)
            ]
            for vector in (a, b)
        ]
        assert np.all(np.abs(np.subtract(*met)) <= tolerance * (1 + 1e-9))


@given(
    st.integers(1, 5).flatmap(
        lambda k: st.tuples(*[st.lists(INTEGERS, min_size=k, max_size=k)] * 2)
    )
)
def test_integer_scores_compare_exactly_without_thresholds(vectors: Any) -> None:
    left, right = vectors
    objectives = [Objective(f"o{k}", "") for k in range(len(left))]
    decided = next((a > b for a, b in zip(left, right, strict=True) if a != b), None)
    keys = [lexicographic_key(v, objectives) for v in vectors]
    assert (None if keys[0] == keys[1] else keys[0] > keys[1]) == decided


def test_a_met_threshold_lets_the_next_objective_decide() -> None:
    objectives = [Objective("safe", "", threshold=7.0), Objective("helpful", "")]
    worse, better = (9.0, 3.0), (7.0, 4.0)
    assert lexicographic_key(better, objectives) > lexicographic_key(worse, objectives)
    below = (6.9, 9.0)
    assert lexicographic_key(worse, objectives) > lexicographic_key(below, objectives)


def test_a_tolerance_rounds_to_a_grid() -> None:
    objectives = [Objective("o", "")]

    def key(score: float) -> tuple[float, ...]:
        return lexicographic_key([score], objectives, tie_tolerance=0.5)

    assert key(5.0) == key(5.2) == key(4.8)
    assert key(5.2) < key(5.3), "neighbouring cells are ordered, however close"
    assert lexicographic_key([5.0], objectives) < lexicographic_key([5.2], objectives)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0], "1 scores for 2 objectives"),
        ([1.0, math.nan], "the score for objective 'b' is not a number"),
    ],
)
def test_rejects_what_cannot_be_ordered(scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        lexicographic_key(scores, [Objective("a", ""), Objective("b", "")])


@given(
    st.integers(1, 5).flatmap(lambda k: st.tuples(*[st.lists(FINITE, min_size=k, max_size=k)] * 2))
)
def test_margin_and_gap_are_those_of_the_paper(vectors: Any) -> None:
    left, right = (np.array(v, dtype=np.float64) for v in vectors)
    assert score_margin(*vectors) == pytest.approx(np.abs(left - right).sum(), abs=1e-12)
    assert score_gap(*vectors) == pytest.approx(abs(left.sum() - right.sum()), abs=1e-12)
    assert score_margin(*vectors) == score_margin(*reversed(vectors))
    assert score_gap(*vectors) <= score_margin(*vectors) + 1e-12


def test_margin_and_gap_differ_where_objectives_pull_apart() -> None:
    assert score_margin((3.0, 5.0), (5.0, 3.0)) == 4.0
    assert score_gap((3.0, 5.0), (5.0, 3.0)) == 0.0
    with pytest.raises(ValueError, match=r"^score vectors of 1 and 2 objectives$"):
        score_gap((1.0,), (1.0, 2.0))
