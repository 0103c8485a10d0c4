"""The curve admits groups in order, and bends where agreement was made to end."""

from __future__ import annotations

import numpy as np
import pytest

from spa.evaluation.agreement import JudgedGroup, agreement_curve
from spa.evaluation.rv import Sums, rv, sums_overall


def groups(count: int, agree: float, seed: int = 0, samples: int = 5) -> list[JudgedGroup]:
    """Groups of rising spread, of which the first share agrees and the others do not."""
    rng = np.random.default_rng(seed)
    found = []
    for place in range(count):
        first, noise = rng.normal(size=(2, samples, 2))
        second = first + 0.3 * noise if place < agree * count else noise
        found.append(JudgedGroup(0.1 * (place + 1), first, second))
    return found


def test_groups_are_admitted_by_rising_determinant() -> None:
    known = groups(40, 0.5)
    steps, _ = agreement_curve(list(reversed(known)), points=4, resamples=50)
    assert [(s.groups, s.share, s.answers) for s in steps] == [
        (10, 0.25, 50), (20, 0.5, 100), (30, 0.75, 150), (40, 1.0, 200)
    ]  # fmt: skip
    for step in steps:
        assert step.determinant == known[step.groups - 1].determinant
        admitted = known[: step.groups]
        first, second = (np.concatenate([g[side] for g in admitted]) for side in (1, 2))
        assert step.overall.rv == pytest.approx(rv(first, second), abs=1e-9)
        assert step.overall.low is not None
        assert step.overall.high is not None
        assert step.overall.low <= step.overall.rv <= step.overall.high  # type: ignore[operator]


def test_groups_of_one_determinant_come_together() -> None:
    known = [
        group._replace(determinant=float(place // 7)) for place, group in enumerate(groups(21, 1))
    ]
    steps, _ = agreement_curve(known, points=20, resamples=20)
    assert [step.groups for step in steps] == [7, 14, 21]
    nearly = [g._replace(determinant=0.3 * (1 + 1e-13 * i)) for i, g in enumerate(known)]
    assert [step.groups for step in agreement_curve(nearly, resamples=20)[0]] == [21]


@pytest.mark.parametrize("seed", range(5))
def test_the_bend_is_where_agreement_ends(seed: int) -> None:
    _, bend = agreement_curve(groups(100, 0.4, seed), resamples=100)
    assert bend is not None
    assert 0.35 <= bend.step.share <= 0.45
    assert bend.is_supported
    assert bend.admitted > 0.8
    assert bend.left_out < 0.2


def test_without_an_end_to_agreement_little_is_called_supported() -> None:
    """The bend is looked for, so more than 1 in 40 come out; by far not most."""
    curves = (agreement_curve(groups(60, 1.0, seed), points=12, resamples=40) for seed in range(20))
    assert sum(bend is not None and bend.is_supported for _, bend in curves) <= 3


def test_agreement_that_rises_has_no_bend() -> None:
    turned = [group._replace(determinant=100 - group.determinant) for group in groups(60, 0.5)]
    _, bend = agreement_curve(turned, resamples=20)
    assert bend is None or not bend.is_supported


def test_few_groups_have_a_curve_and_no_bend() -> None:
    steps, bend = agreement_curve(groups(12, 0.5), resamples=20)
    assert len(steps) == 12
    assert steps[0].overall.low is None, "one prompt has no interval"
    assert bend is None
    assert agreement_curve([]) == ([], None)


def test_a_judge_that_says_one_thing_has_no_value() -> None:
    flat = [group._replace(second=np.full((5, 2), 3.3)) for group in groups(15, 1)]
    steps, bend = agreement_curve(flat, points=3, resamples=20)
    assert {step.overall.rv for step in steps} == {None}
    assert {step.within.chance for step in steps} == {None}
    assert bend is None


def test_the_same_seed_gives_the_same_result() -> None:
    known = groups(30, 0.5)
    assert agreement_curve(known, resamples=50, seed=4) == agreement_curve(
        known, resamples=50, seed=4
    )


def test_the_interval_covers_the_coefficient_about_as_often_as_it_says() -> None:
    """100 prompts of 5 answers; the coefficient of very many stands for the true one."""

    def sums(count: int, seed: int) -> Sums:
        first, noise = np.random.default_rng(seed).normal(size=(2, count, 5, 2))
        return sums_overall(list(zip(first, first + 1.2 * noise, strict=True)))

    truth = sums(100_000, 0).coefficient()[0]
    hits = 0
    for seed in range(1, 301):
        rng = np.random.default_rng(seed + 10**6)
        counts = rng.multinomial(100, [0.01] * 100, 1000).astype(float)
        low, high = np.quantile(sums(100, seed).coefficient(counts), [0.025, 0.975])
        hits += low <= truth <= high
    assert 0.93 <= hits / 300 <= 0.97
