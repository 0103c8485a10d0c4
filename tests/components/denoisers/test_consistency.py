"""A group stays only if its refined response is strictly better on every objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.api import Group, Objective, RecipeFacts
from spa.components.denoisers.configs import ConsistencyConfig
from spa.components.denoisers.consistency import ConsistencyDenoiser

PAIR = st.tuples(st.integers(1, 9), st.integers(1, 9))


def judge(group: Group, objectives: Any, **settings: Any) -> Any:
    return ConsistencyDenoiser(ConsistencyConfig(**settings)).verdict(group, objectives)


@given(st.lists(PAIR, min_size=1, max_size=5), PAIR)
def test_equals_the_definition(
    make_group: Callable[..., Group],
    make_objectives: Callable[..., list[Objective]],
    samples: Any,
    refined: Any,
) -> None:
    verdict = judge(make_group(samples, refined), make_objectives(2))
    best = np.array(samples, dtype=np.float64).max(axis=0)
    assert verdict.keep == bool(np.all(np.array(refined) > best))
    assert verdict.details == {
        "best_sample.o0": best[0],
        "best_sample.o1": best[1],
        "refined.o0": refined[0],
        "refined.o1": refined[1],
    }


@given(st.lists(PAIR, min_size=1, max_size=5), PAIR, PAIR)
def test_another_sample_never_makes_a_group_consistent(
    make_group: Callable[..., Group],
    make_objectives: Callable[..., list[Objective]],
    samples: Any,
    refined: Any,
    more: Any,
) -> None:
    objectives = make_objectives(2)
    if judge(make_group([*samples, more], refined), objectives).keep:
        assert judge(make_group(samples, refined), objectives).keep
        assert judge(make_group(samples[::-1], refined), objectives).keep


@pytest.mark.parametrize(
    ("samples", "refined", "keep", "reason"),
    [
        ([(5, 5), (6, 4)], (7, 6), True, "consistent"),
        ([(5, 5), (6, 4)], (6, 6), False, "refined_not_better"),
        ([(5, 5), (6, 4)], None, False, "no_refined"),
        ([(9, 5), (6, 4)], (9, 6), False, "ceiling"),
        ([(9 - 1e-9, 5), (6, 4)], (3, 6), False, "ceiling"),
        ([(8.9, 5)], (9, 6), True, "consistent"),
        ([], (9, 6), False, "too_few_samples"),
    ],
)
def test_reasons(
    *,
    make_group: Callable[..., Group],
    make_objectives: Callable[..., list[Objective]],
    samples: Any,
    refined: Any,
    keep: bool,
    reason: str,
) -> None:
    verdict = judge(make_group(samples, refined), make_objectives(2, minimum=1.0, maximum=9.0))
    assert (verdict.keep, verdict.reason, verdict.drop) == (keep, reason, ())


def test_without_a_scale_there_is_no_ceiling(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    assert judge(make_group([(9,)], (9,)), make_objectives(1)).reason == "refined_not_better"


@pytest.mark.parametrize(
    ("samples", "refined", "reason", "drop"),
    [
        ([(5,)], (4,), "refined_not_better", ("p/r",)),
        ([(9,)], (9,), "ceiling", ("p/r",)),
        ([(5,)], (6,), "consistent", ()),
        ([(5,)], None, "no_refined", ()),
    ],
)
def test_drop_refined_keeps_the_samples(
    *,
    make_group: Callable[..., Group],
    make_objectives: Callable[..., list[Objective]],
    samples: Any,
    refined: Any,
    reason: str,
    drop: Any,
) -> None:
    objectives = make_objectives(1, minimum=1.0, maximum=9.0)
    verdict = judge(make_group(samples, refined), objectives, on_fail="drop_refined")
    assert (verdict.keep, verdict.reason, verdict.drop) == (True, reason, drop)


def test_a_recipe_without_refine_is_refused() -> None:
    assert list(ConsistencyConfig().check_recipe(RecipeFacts(("a",), refines=False))) == [
        (
            "",
            "there is no refined response to compare the samples with. Add a `refine` section, or"
            " remove this denoiser",
        )
    ]
    assert list(ConsistencyConfig().check_recipe(RecipeFacts(("a",)))) == []


def test_a_refiner_that_copies_is_refused() -> None:
    assert list(ConsistencyConfig().check_recipe(RecipeFacts(("a",), rewrites=False))) == [
        (
            "",
            "the refiner copies the best sample, and a copy is never strictly better than what it"
            " is copied from: no group could pass. Remove this denoiser, or refine with"
            " `self-refine`",
        )
    ]
    without = RecipeFacts(("a",), refines=False, rewrites=False)
    assert len(list(ConsistencyConfig().check_recipe(without))) == 1
