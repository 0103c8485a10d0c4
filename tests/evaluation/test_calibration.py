"""Calibration against its definitions written out, and against judges of known calibration."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from spa.evaluation.calibration import calibration
from spa.evaluation.discrimination import Answer

SCALE = (1.0, 9.0)


def answers(count: int, better: Callable[[float], float], seed: int = 0) -> list[Answer]:
    """Two answers a prompt, with scores all over the scale; each better as often as given."""
    draw = random.Random(seed)
    found = []
    for place in range(count):
        said = draw.random()
        label = int(draw.random() < better(said))
        found.append(Answer(f"p{place // 2}", "a", label, 10, 1 + 8 * said))
    return found


def test_it_is_its_definition() -> None:
    """Ten answers in five bins of two, worked out by hand."""
    scores = [1, 1, 3, 3, 5, 5, 7, 7, 9, 9]
    labels = [0, 1, 0, 0, 1, 0, 1, 1, 1, 1]
    rows = [
        Answer(str(p), "a", y, 5, s) for p, (s, y) in enumerate(zip(scores, labels, strict=True))
    ]
    found = calibration([*rows, Answer("x", "a", 1, 5, None)], SCALE)
    assert found is not None
    assert [each.said for each in found.bins] == [0, 0.25, 0.5, 0.75, 1]
    assert [each.better for each in found.bins] == [0.5, 0, 0.5, 1, 1]
    assert [(each.lowest, each.highest) for each in found.bins] == [(s, s) for s in (1, 3, 5, 7, 9)]
    assert found.answers == sum(each.answers for each in found.bins) == 10
    assert found.error == pytest.approx((0.5 + 0.25 + 0 + 0.25 + 0) / 5, abs=1e-12)
    said = (np.array(scores) - 1) / 8
    assert found.brier == pytest.approx(np.mean((said - labels) ** 2), abs=1e-12)
    wilson = stats.binomtest(1, 2).proportion_ci(0.95, method="wilson")
    assert (found.bins[0].low, found.bins[0].high) == pytest.approx((wilson.low, wilson.high))


def test_equal_scores_are_in_one_bin() -> None:
    rows = [Answer(str(n), "a", n % 2, 5, 5.0 if n < 16 else 8.0) for n in range(20)]
    found = calibration(rows, SCALE)
    assert found is not None
    assert [each.answers for each in found.bins] == [16, 4]


def test_a_calibrated_judge_errs_as_chance_does() -> None:
    errors = [calibration(answers(80, lambda said: said, seed), SCALE) for seed in range(40)]
    assert sum(each.error > each.chance_high for each in errors if each) <= 5
    mean = np.mean([each.error for each in errors if each])
    assert mean == pytest.approx(np.mean([each.chance for each in errors if each]), abs=0.01)


def test_a_judge_that_is_too_sure_is_found_out() -> None:
    found = calibration(answers(80, lambda said: 0.5 + 0.2 * (said - 0.5)), SCALE)
    assert found is not None
    assert found.error > found.chance_high
    assert found.bins[0].better > found.bins[0].said
    assert found.brier > 0.25
    assert found.brier_low < found.brier < found.brier_high  # type: ignore[operator]


def test_the_interval_draws_prompts_not_answers() -> None:
    rows = answers(40, lambda said: said)
    once = calibration(rows, SCALE)
    tripled = calibration([each for each in rows for _ in range(3)], SCALE)
    assert once is not None
    assert tripled is not None
    assert tripled.brier_high == pytest.approx(once.brier_high)


def test_without_a_scale_both_labels_and_answers_there_is_none() -> None:
    rows = answers(40, lambda said: said)
    assert calibration(rows, None) is None
    assert calibration(rows[:9], SCALE) is None
    assert calibration([each._replace(label=1) for each in rows], SCALE) is None
    assert calibration([each._replace(score=None) for each in rows], SCALE) is None
