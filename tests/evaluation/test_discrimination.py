"""AUC, ties and correlation against their definitions, written out by hand."""

from __future__ import annotations

import math
import random
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spa.evaluation.discrimination import (
    Answer,
    auc_across,
    auc_within,
    length_correlation,
    tie_share,
)

SCORE = st.none() | st.integers(1, 4).map(float)
ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["a", "b"]), st.integers(0, 1), SCORE), max_size=16
)


def answers(rows: Any) -> list[Answer]:
    return [
        Answer(f"p{p}", o, label, 10 + at, score) for at, (p, o, label, score) in enumerate(rows)
    ]


def wins(better: list[float], worse: list[float]) -> float:
    """P(better above worse), a tie counting half."""
    return sum((b > w) + (b == w) / 2 for b, w in product(better, worse)) / (
        len(better) * len(worse)
    )


def sides(rows: Any) -> tuple[list[float], list[float]]:
    better = [s for *_, label, s in rows if label == 1 and s is not None]
    return better, [s for *_, label, s in rows if label == 0 and s is not None]


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_auc_is_its_definition(rows: Any) -> None:
    units: dict[int, list[float]] = {}
    ties: list[bool] = []
    for prompt, objective in product(range(5), "ab"):
        better, worse = sides([r for r in rows if r[:2] == (prompt, objective)])
        if better and worse:
            units.setdefault(prompt, []).append(wins(better, worse))
            ties += [b == w for b, w in product(better, worse)]
    count, within = auc_within(answers(rows))
    assert count == len(units)
    expected = [sum(values) / len(values) for values in units.values()]
    assert within.mean == (pytest.approx(sum(expected) / count) if count else None)
    assert tie_share(answers(rows)) == (pytest.approx(sum(ties) / len(ties)) if ties else None)
    better, worse = sides(rows)
    _, across = auc_across(answers(rows))
    if better and worse:
        u = stats.mannwhitneyu(better, worse).statistic
        assert across.mean == pytest.approx(u / (len(better) * len(worse)), abs=1e-9)
        assert across.mean == pytest.approx(wins(better, worse), abs=1e-9)
        assert across.low is None or across.low <= across.high
    else:
        assert across == (None, None, None)


def made(signal: float, prompts: int, seed: int = 0) -> list[Answer]:
    draw = random.Random(seed)
    return [
        Answer(f"p{p}", "a", label, draw.randint(10, 90), 5 + signal * label + draw.gauss(0, 1))
        for p in range(prompts)
        for label in (0, 1)
    ]


@pytest.mark.parametrize("auc", [auc_within, auc_across])
def test_the_interval_tells_signal_from_noise(auc: Any) -> None:
    _, noise = auc(made(0.0, 40))
    _, signal = auc(made(2.0, 40))
    assert noise.low < 0.5 < noise.high
    assert 0.5 < signal.low < signal.mean <= signal.high <= 1
    assert auc(made(2.0, 40)) == auc(made(2.0, 40)), "the same scores, the same interval"
    _, more = auc(made(1.0, 160))
    _, fewer = auc(made(1.0, 20))
    assert more.high - more.low < fewer.high - fewer.low


def test_across_prompts_the_bootstrap_draws_prompts_not_answers() -> None:
    """A prompt's answers come together: repeating them within their prompt adds no certainty."""
    once = made(1.0, 12)
    _, single = auc_across(once)
    _, tripled = auc_across([each for each in once for _ in range(3)])
    assert (tripled.low, tripled.high) == pytest.approx((single.low, single.high))


def test_the_across_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    truth = stats.norm.cdf(1 / math.sqrt(2))
    found = [auc_across(made(1.0, 30, seed))[1] for seed in range(20)]
    covered = sum(each.low <= truth <= each.high for each in found)
    assert covered >= 16


def test_scores_that_differ_by_rounding_tie() -> None:
    rows = [Answer("p", "a", 1, 5, 3.00000001), Answer("p", "a", 0, 6, 3.0)]
    assert tie_share(rows) == 1.0
    assert auc_within(rows)[1].mean == 0.5


def test_correlation_with_length() -> None:
    rows = [Answer("p", "a", 1, length, length**0.5) for length in (4, 9, 16, 25)]
    assert length_correlation(rows) == pytest.approx(1.0)
    flat = [each._replace(score=2.0) for each in rows]
    assert length_correlation(flat) is None
    assert length_correlation(rows[:2]) is None
    assert length_correlation([each._replace(length=7) for each in rows]) is None
