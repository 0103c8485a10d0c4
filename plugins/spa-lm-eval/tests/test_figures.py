"""Figures over documents, and how sure they are."""

from __future__ import annotations

import math
from typing import Any

import pytest

from spa.api import Metric, mean_interval, rate_interval, share_difference_interval
from spa_lm_eval.config import LmEvalConfig
from spa_lm_eval.figures import figures

CONFIG = LmEvalConfig(tasks=("t",), resamples=200)


def found(base: list[Any], later: list[Any]) -> dict[tuple[str, str], Metric]:
    rows: list[dict[str, Any]] = [
        {"summed_by": {"acc": "mean"}, "base:acc": a, "round-1:acc": b}
        for a, b in zip(base, later, strict=True)
    ]
    made = figures("t", rows, ["base", "round-1"], CONFIG)
    return {(each.name, each.model): each for each in made}


def test_shares_have_intervals_of_shares() -> None:
    metrics = found([1.0] * 8 + [None], [1.0] * 6 + [0.0, 1.0, 1.0])
    base, difference = metrics["t:acc", "base"], metrics["t:acc", "round-1 - base"]
    assert (base.value, base.low, base.high) == rate_interval(8, 8)
    assert base.low is not None
    assert base.low < 0.8  # eight documents that agree prove little
    assert (base.n, base.missing) == (8, 1)
    expected = share_difference_interval([0.0] * 6 + [-1.0, 0.0])
    assert (difference.value, difference.low, difference.high) == expected
    assert (difference.n, difference.missing) == (8, 1)
    error = metrics["t:acc_stderr", "round-1"]
    assert error.value == pytest.approx(math.sqrt(8 / 9 * 1 / 9 / 8))


def test_other_means_have_bootstrap_intervals() -> None:
    metrics = found([0.25, 1.0, 0.5], [0.5, 1.0, 1.0])
    expected = mean_interval([0.25, 0.0, 0.5], resamples=200)
    difference = metrics["t:acc", "round-1 - base"]
    assert (difference.value, difference.low, difference.high) == expected
