"""The order of score vectors: which of two responses is preferred, and by how much.

Pure functions on the K scores of a response, in the order of the recipe's objectives. They stand
between denoising and `PreferencePair`; pair builders use them through ``spa.api``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from spa.types import Objective

__all__ = ["lexicographic_key", "score_gap", "score_margin"]


def lexicographic_key(
    scores: Sequence[float], objectives: Sequence[Objective], *, tie_tolerance: float = 0.0
) -> tuple[float, ...]:
    """A tuple that sorts as the strict priority of the objectives demands.

    A response is preferred to another exactly when its key is greater. Since keys are compared as
    tuples, "at least as good" is a total preorder: transitive and defined for every two responses.

    A score at or above its objective's threshold counts as met: it is cut to the threshold, so
    that the next objective decides. With a tolerance, scores are rounded to a grid of that step.
    Two scores in one cell are equal and differ by at most ``tie_tolerance``; two in neighbouring
    cells are ordered even if they are closer, which is the price of transitivity.

    Args:
        scores: K scores, in the order of the objectives.
        objectives: K objectives, most important first.
        tie_tolerance: Step of the grid; 0 compares the scores exactly.

    Returns:
        K numbers, compared as a tuple.

    Raises:
        ValueError: If the lengths differ or a score is not a number.
    """
    if len(scores) != len(objectives):
        raise ValueError(f"{len(scores)} scores for {len(objectives)} objectives")
    return tuple(
        _cell(score, objective, tie_tolerance)
        for score, objective in zip(scores, objectives, strict=True)
    )


def score_margin(left: Sequence[float], right: Sequence[float]) -> float:
    """``sum_k |s_k(left) - s_k(right)|``, the L1 distance that a pair builder's margin bounds."""
    return math.fsum(abs(a - b) for a, b in zip(left, right, strict=True))


def score_gap(left: Sequence[float], right: Sequence[float]) -> float:
    """``|sum_k s_k(left) - sum_k s_k(right)|``, what the SPA loss weighs a pair by."""
    if len(left) != len(right):
        raise ValueError(f"score vectors of {len(left)} and {len(right)} objectives")
    return abs(math.fsum(left) - math.fsum(right))


def _cell(score: float, objective: Objective, tie_tolerance: float) -> float:
    if math.isnan(score):
        raise ValueError(f"the score for objective {objective.name!r} is not a number")
    met = score if objective.threshold is None else min(score, objective.threshold)
    return met if tie_tolerance == 0 else math.floor(met / tie_tolerance + 0.5)
