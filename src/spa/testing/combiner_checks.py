"""Checks whether a judge that combines the scores of others keeps its contract."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from spa.api import Combiner, Objective, Scale, Score
from spa.testing.report import Checks, Report, require
from spa.testing.samples import make_objectives

__all__ = ["check_combiner"]

_OBJECTIVES = make_objectives(minimum=1.0, maximum=9.0)
_SCALES: tuple[Scale, ...] = ((1.0, 9.0), (0.0, 1.0))


def check_combiner(
    combiner: Combiner,
    *,
    objectives: Sequence[Objective] = _OBJECTIVES,
    scales: Sequence[Scale] = _SCALES,
) -> Report:
    """Checks a combiner: a score for every objective, in its scale, whatever members could not do.

    Args:
        combiner: What to check.
        objectives: Some that its members can judge.
        scales: Of its members, as many as its config has; at least one with bounds.
    """
    checks = Checks(combiner)
    ends = [[_score(s, end) for s in scales] for end in (0.0, 0.3, 1.0)]
    with checks.that("combined_scale is None or (lowest, highest)"):
        scale = combiner.combined_scale(scales)
        require(scale is None or scale[0] < scale[1], f"it is {scale!r}")
    if not checks.fine:
        return checks.report()
    low, high = scale or (-math.inf, math.inf)
    with checks.that("every objective has a score within the scale"):
        for values in ends:
            for name, score in _combined(combiner, values, scales, objectives).items():
                require(score.value is not None, f"{name} has none")
                require(low <= (score.value or 0.0) <= high, f"{name}: {score.value}")
    with checks.that("without a member's score it gives a value, or None with a reason"):
        none = [Score(None, "unparsable")] * len(scales)
        for values in (none, [*ends[0][:-1], none[-1]]):
            for name, score in _combined(combiner, values, scales, objectives).items():
                require(score.value is not None or bool(score.reason), f"{name} has no reason")
    with checks.that("the same scores give the same score"):
        first, second = (_combined(combiner, ends[1], scales, objectives) for _ in range(2))
        require(first == second, f"{first} and {second}")
    return checks.report()


def _score(scale: Scale, share: float) -> Score:
    low, high = scale or (0.0, 1.0)
    return Score(low + share * (high - low))


def _combined(
    combiner: Combiner,
    values: Sequence[Score],
    scales: Sequence[Scale],
    objectives: Sequence[Objective],
) -> Mapping[str, Score]:
    given = [{objective.name: value for objective in objectives} for value in values]
    found = combiner.combine(given, scales, objectives)
    expected = sorted(objective.name for objective in objectives)
    require(sorted(found) == expected, f"{sorted(found)} instead of {expected}")
    return found
