"""The best sample is copied by the order of the objectives, and the copy doubles no pair."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.api import Refiner, Response, lexicographic_key
from spa.components.refiners.best_of_n import BestOfN
from spa.components.refiners.configs import BestOfNConfig
from spa.testing import make_group, make_objectives

OBJECTIVES = make_objectives()


def best(*vectors: Any, **settings: Any) -> Response | None:
    refiner = BestOfN(BestOfNConfig(**settings))
    assert isinstance(refiner, Refiner)
    return refiner.refine(make_group(vectors, objectives=OBJECTIVES), OBJECTIVES)


def test_copies_text_and_token_ids() -> None:
    response = best((5, 9), (6, 1), (6, 0))
    assert response is not None
    assert response == Response(
        "Sample 1.",
        (*map(ord, "Sample 1."), 0),
        "stop",
        details={"sample": "p0/s1", "samples": 3},
    )


@pytest.mark.parametrize(("tolerance", "sample"), [(0.0, "p0/s1"), (1.0, "p0/s0")])
def test_ties_within_the_tolerance_let_the_next_objective_decide(
    tolerance: float, sample: str
) -> None:
    response = best((6.0, 9.0), (6.2, 1.0), tie_tolerance=tolerance)
    assert response is not None
    assert response.details["sample"] == sample


def test_the_first_of_equals_is_taken() -> None:
    response = best((1, 1), (6, 4), (6, 4))
    assert response is not None
    assert response.details["sample"] == "p0/s1"


def test_samples_without_a_score_are_passed_over() -> None:
    response = best((None, 9), (1, 1))
    assert response is not None
    assert response.details == {"sample": "p0/s1", "samples": 1}
    assert best((None, 9), (9, None)) is None


SCORES = st.integers(1, 9).map(float) | st.floats(1, 9)


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=6), st.sampled_from([0.0, 0.5]))
def test_no_sample_is_preferred_to_it(vectors: Any, tolerance: float) -> None:
    response = best(*vectors, tie_tolerance=tolerance)
    assert response is not None
    chosen = vectors[int(str(response.details["sample"]).removeprefix("p0/s"))]
    keys = [lexicographic_key(v, OBJECTIVES, tie_tolerance=tolerance) for v in [chosen, *vectors]]
    assert keys[0] == max(keys)
