"""How a model's answers to one prompt stand against the first model's, by the order of objectives.

Pure functions on two vectors of K mean scores; `judge_scores` counts them over prompts. Scores are
compared as pair builders compare them: cut to the thresholds and rounded to a grid, so that what is
a tie there is a tie here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spa.api import Objective, lexicographic_key

__all__ = ["Change", "change"]

_ROUNDING = 1e-9
"""Step of the grid without a tolerance: means of equal scores may differ by their rounding."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one prompt, from ``earlier`` to ``later``.

    With ``d_k = later_k - earlier_k``, 0 where the two tie on objective k:

    Attributes:
        order: Sign of the first ``d_k`` that is not 0: 1 where ``later`` is the better one in the
            lexicographic order, -1 where it is the worse one, 0 where all tie. This order is the
            one that SPA pairs by (arXiv 2511.06222).
        regret: Whether ``d_i < 0`` and ``d_j > 0`` for some i < j: a lower objective rose while a
            higher one fell. It is what the strict priority of the same paper forbids.
        dominates: Pareto dominance: ``d_k >= 0`` for all k, and ``d_k > 0`` for one.
        dominated: The same with both exchanged.
    """

    order: int
    regret: bool
    dominates: bool
    dominated: bool


def change(
    earlier: Sequence[float],
    later: Sequence[float],
    objectives: Sequence[Objective],
    *,
    tie_tolerance: float = 0.0,
) -> Change:
    """Compares two vectors of scores.

    Args:
        earlier: K scores, in the order of the objectives.
        later: Likewise.
        objectives: K objectives, most important first; a score at its threshold counts as met.
        tie_tolerance: See `spa.api.lexicographic_key`; 0 compares up to rounding.

    Raises:
        ValueError: If the lengths differ or a score is not a number.
    """
    before, after = (
        lexicographic_key(scores, objectives, tie_tolerance=tie_tolerance or _ROUNDING)
        for scores in (earlier, later)
    )
    signs = [(new > old) - (new < old) for old, new in zip(before, after, strict=True)]
    first_fall = signs.index(-1) if -1 in signs else len(signs)
    return Change(
        order=(after > before) - (after < before),
        regret=1 in signs[first_fall:],
        dominates=1 in signs and -1 not in signs,
        dominated=-1 in signs and 1 not in signs,
    )
