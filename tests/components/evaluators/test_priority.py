"""What training changed on one prompt, against definitions written out pair by pair."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.api import Objective
from spa.components.evaluators.priority import change

VECTORS = st.integers(1, 4).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(1, 4), min_size=k, max_size=k)] * 2)
)


def objectives(count: int, **settings: Any) -> list[Objective]:
    return [Objective(f"o{k}", "", **settings) for k in range(count)]


@given(VECTORS)
def test_the_definitions(vectors: tuple[list[int], list[int]]) -> None:
    earlier, later = vectors
    found = change(earlier, later, objectives(len(earlier)))
    places = range(len(earlier))
    assert found.regret == any(
        later[i] < earlier[i] and later[j] > earlier[j] for i in places for j in places if i < j
    )
    assert found.dominates == (
        all(a >= b for a, b in zip(later, earlier, strict=True)) and later != earlier
    )
    assert found.order == (later > earlier) - (later < earlier), "lists compare lexicographically"


@given(VECTORS)
def test_the_other_way_round(vectors: tuple[list[int], list[int]]) -> None:
    earlier, later = vectors
    known = objectives(len(earlier))
    there, back = change(earlier, later, known), change(later, earlier, known)
    assert there.order == -back.order
    assert (there.dominates, there.dominated) == (back.dominated, back.dominates)
    assert not (there.dominates and there.regret)
    assert there.order > 0 or not there.dominates


def test_a_fall_above_the_threshold_is_no_regret() -> None:
    assert change((9.5, 4.0), (9.0, 5.0), objectives(2)).regret
    met = [Objective("o0", "", threshold=9.0), Objective("o1", "")]
    found = change((9.5, 4.0), (9.0, 5.0), met)
    assert (found.order, found.regret, found.dominates) == (1, False, True)


def test_rounding_is_no_change() -> None:
    found = change((0.1 + 0.2, 5.0), (0.3, 6.0), objectives(2))
    assert (found.order, found.regret, found.dominates) == (1, False, True)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="1 scores for 2 objectives"):
        change((1.0,), (1.0, 2.0), objectives(2))
