"""The determinant of the samples' score covariance is bounded on both sides, at any scale."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spa.api import Group, Objective, RecipeFacts
from spa.components.denoisers.configs import InformativenessConfig
from spa.components.denoisers.informativeness import InformativenessDenoiser

VECTOR = st.tuples(st.integers(1, 9), st.integers(1, 9))
GROUPS = st.lists(VECTOR, min_size=3, max_size=7)


def judge(group: Group, objectives: Any, **settings: Any) -> Any:
    return InformativenessDenoiser(InformativenessConfig(**settings)).verdict(group, objectives)


def covariance_determinant(samples: Any) -> float:
    """For two objectives, written out: var(a) var(b) - cov(a, b)^2 with ddof = 1."""
    a, b = np.array(samples, dtype=np.float64).T
    n = len(a)
    var_a, var_b = (((x - x.mean()) ** 2).sum() / (n - 1) for x in (a, b))
    cov = ((a - a.mean()) * (b - b.mean())).sum() / (n - 1)
    return float(var_a * var_b - cov**2)


def integer_determinant(samples: Any) -> int:
    """n^2 (n-1)^2 det(S), exact for integer scores."""
    n = len(samples)
    saa = n * sum(a * a for a, _ in samples) - sum(a for a, _ in samples) ** 2
    sbb = n * sum(b * b for _, b in samples) - sum(b for _, b in samples) ** 2
    sab = n * sum(a * b for a, b in samples) - sum(a for a, _ in samples) * sum(
        b for _, b in samples
    )
    return saa * sbb - sab * sab


@given(GROUPS, st.floats(0.01, 60))
def test_equals_the_definition(
    make_group: Callable[..., Group],
    make_objectives: Callable[..., list[Objective]],
    samples: Any,
    limit: Any,
) -> None:
    exact = integer_determinant(samples) / (len(samples) * (len(samples) - 1)) ** 2
    assume(not np.isclose(exact, limit))
    verdict = judge(make_group(samples), make_objectives(2), max_determinant=limit)
    assert verdict.keep == (0 < exact <= limit)
    assert verdict.reason == (
        "degenerate" if exact == 0 else "informative" if exact <= limit else "unstable"
    )
    assert verdict.details["determinant"] == pytest.approx(
        covariance_determinant(samples), abs=1e-9
    )
    assert verdict.details == {
        "determinant": verdict.details["determinant"],
        "max_determinant": limit,
        "ddof": 1,
        "samples": len(samples),
    }


@given(GROUPS, st.sampled_from([1e-6, 0.01, 0.1, 1 / 3, 7.7, 1e6]))
def test_degeneracy_does_not_depend_on_the_scale(
    make_group: Callable[..., Group],
    make_objectives: Callable[..., list[Objective]],
    samples: Any,
    factor: Any,
) -> None:
    scaled = [(a * factor, b * factor * 3.1) for a, b in samples]
    verdict = judge(make_group(scaled), make_objectives(2), max_determinant=1e40)
    assert (verdict.reason == "degenerate") == (integer_determinant(samples) == 0)


@given(
    samples=GROUPS,
    limit=st.floats(0.01, 60),
    more=st.floats(0, 60),
    rng=st.randoms(use_true_random=False),
)
def test_a_greater_limit_only_admits_more_and_order_is_nothing(
    *,
    make_group: Callable[..., Group],
    make_objectives: Callable[..., list[Objective]],
    samples: Any,
    limit: Any,
    more: Any,
    rng: random.Random,
) -> None:
    objectives = make_objectives(2)
    kept = judge(make_group(samples), objectives, max_determinant=limit).keep
    if kept:
        assert judge(make_group(samples), objectives, max_determinant=limit + more).keep
    exact = integer_determinant(samples) / (len(samples) * (len(samples) - 1)) ** 2
    assume(not np.isclose(exact, limit))
    rng.shuffle(samples)
    assert judge(make_group(samples), objectives, max_determinant=limit).keep == kept


@given(GROUPS, st.integers(0, 2**32 - 1))
def test_rounding_does_not_let_degenerate_groups_slip_through(
    make_group: Callable[..., Group],
    make_objectives: Callable[..., list[Objective]],
    samples: Any,
    seed: Any,
) -> None:
    assume(integer_determinant(samples) == 0)
    scores = np.array(samples, dtype=np.float64)
    noise = np.random.default_rng(seed).uniform(-1, 1, scores.shape)
    scores *= 1 + 1e-7 * noise  # what float32 log-probabilities of equal responses differ by
    verdict = judge(make_group(scores.tolist()), make_objectives(2))
    assert verdict.reason == "degenerate"


def test_small_but_real_spread_is_informative(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    group = make_group([(5.01, 5.0), (5.0, 5.02), (5.02, 5.01), (5.0, 5.0)])
    verdict = judge(group, make_objectives(2))
    assert verdict.reason == "informative"
    assert 0 < verdict.details["determinant"] < 1e-7


def test_refined_response_is_not_in_the_covariance(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    samples = [(1, 2), (3, 1), (2, 5)]
    with_refined = judge(make_group(samples, refined=(9, 9)), make_objectives(2))
    assert with_refined == judge(make_group(samples), make_objectives(2))


def test_one_objective_bounds_the_variance(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    verdict = judge(make_group([(1,), (2,), (4,)]), make_objectives(1), max_determinant=2.4)
    assert verdict.details["determinant"] == pytest.approx(np.var([1, 2, 4], ddof=1))
    assert verdict.keep
    assert judge(make_group([(5,), (5,), (5,)]), make_objectives(1)).reason == "degenerate"
    assert judge(make_group([(0,), (0,), (0,)]), make_objectives(1)).reason == "degenerate"


def test_three_objectives(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    samples = [(1, 2, 3), (2, 1, 5), (4, 4, 1), (3, 7, 2), (5, 1, 1)]
    verdict = judge(make_group(samples), make_objectives(3), max_determinant=1e3)
    expected = np.linalg.det(np.cov(np.array(samples).T, ddof=1))
    assert verdict.details["determinant"] == pytest.approx(expected)
    assert verdict.reason == "informative"
    copied = [(a, b, 0.1 * a + 0.3 * b) for a, b, _ in samples]
    assert judge(make_group(copied), make_objectives(3)).reason == "degenerate"


@pytest.mark.parametrize(("count", "objectives", "needed"), [(2, 2, 3), (2, 1, 3), (3, 3, 4)])
def test_too_few_samples(
    make_group: Callable[..., Group],
    make_objectives: Callable[..., list[Objective]],
    count: Any,
    objectives: Any,
    needed: Any,
) -> None:
    group = make_group([tuple(range(i, i + objectives)) for i in range(count)])
    verdict = judge(group, make_objectives(objectives))
    assert (verdict.keep, verdict.reason) == (False, "too_few_samples")
    assert verdict.details == {"samples": count, "needed": needed}


@pytest.mark.parametrize(
    ("objectives", "samples", "needed", "named"),
    [
        (("a", "b"), 2, 3, "2 objectives"),
        (("a",), 1, 3, "1 objective"),
        (("a", "b", "c"), 3, 4, "3 objectives"),
    ],
)
def test_a_recipe_with_too_few_samples_is_refused(
    objectives: Any, samples: Any, needed: Any, named: Any
) -> None:
    facts = RecipeFacts(objectives, samples=samples)
    assert list(InformativenessConfig().check_recipe(facts)) == [
        (
            "",
            f"needs at least {needed} samples a prompt for {named}, and the generator makes"
            f" {samples}: with fewer, the determinant of the covariance of their scores says"
            " nothing or is always 0, and every group would be dropped. Set generate.n to"
            f" {needed} or more, or remove this denoiser",
        )
    ]


@pytest.mark.parametrize("samples", [3, 8, None])
def test_a_recipe_with_enough_samples_is_fine(samples: Any) -> None:
    facts = RecipeFacts(("a", "b"), samples=samples)
    assert list(InformativenessConfig().check_recipe(facts)) == []
