"""How far two judges agree as groups are admitted by rising det(S), and where agreement falls.

Pure functions; `spa.comparison.judges` reads the scores from runs. The curve is the analysis by
which the authors of SPA bound the determinant from above (arXiv 2511.06222): where a judge's scores
of one prompt vary widely, a stronger judge confirms them less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from spa.evaluation.rv import Array, Sums, sums_overall, sums_within
from spa.statistics import statistic_interval

__all__ = ["FEWEST_GROUPS", "Agreement", "Bend", "JudgedGroup", "Step", "agreement_curve"]

FEWEST_GROUPS = 10
"""Steps of fewer groups, and bends that leave out fewer, say too little to bend the curve."""

_FEWEST_STEPS = 6
_SAME = 1e-9  # determinants that differ relatively by no more differ by rounding


class JudgedGroup(NamedTuple):
    """The samples of one prompt, as two judges score them.

    Attributes:
        determinant: Of the covariance of the first judge's scores; above 0.
        first: (n, K) scores of the first judge.
        second: (n, L) scores of the second judge, of the same samples.
    """

    determinant: float
    first: Array
    second: Array


@dataclass(frozen=True, slots=True)
class Agreement:
    """An RV coefficient; None where a judge gives all answers the same scores.

    Attributes:
        rv: The coefficient.
        low: Lower end of its interval, a bootstrap over prompts; None for fewer than two.
        high: Upper end.
        chance: What is to be expected of judges that have nothing in common.
    """

    rv: float | None
    low: float | None
    high: float | None
    chance: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """The groups whose determinant is at most that of the step.

    Attributes:
        determinant: The largest one admitted.
        share: Of all groups, in (0, 1].
        groups: How many are admitted.
        answers: Their samples.
        overall: Agreement over all their answers: columns are centred over all of them.
        within: Agreement on what sets apart the answers to one prompt, which is what pairs are
            made of: columns are centred prompt by prompt.
    """

    determinant: float
    share: float
    groups: int
    answers: int
    overall: Agreement
    within: Agreement


@dataclass(frozen=True, slots=True)
class Bend:
    """Where the curve of RV over all answers begins to fall.

    Attributes:
        step: The last one before it falls.
        admitted: RV of the groups up to there.
        left_out: RV of the others.
        low: Lower end of the interval of ``admitted - left_out``, a bootstrap over prompts. The
            bend was looked for in the same groups, which the interval does not account for.
        high: Upper end.
    """

    step: Step
    admitted: float
    left_out: float
    low: float
    high: float

    @property
    def is_supported(self) -> bool:
        """Whether the groups left out agree less, beyond what drawing prompts explains."""
        return self.low > 0


def agreement_curve(
    groups: Sequence[JudgedGroup],
    *,
    points: int = 20,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[list[Step], Bend | None]:
    """RV as groups are admitted by rising determinant, and where it begins to fall.

    Args:
        groups: Those with a determinant above 0, in any order.
        points: Most steps, at even shares of the groups. Groups of one determinant are admitted
            together, as no tau tells them apart.
        confidence: Coverage of the intervals.
        resamples: How many times the prompts are drawn anew for each.
        seed: The same groups and seed give the same result.

    Returns:
        The steps by rising determinant; and where they begin to fall, None if they do not.
    """
    ordered = sorted(groups, key=lambda group: group.determinant)
    if not ordered:
        return [], None
    scores = [(group.first, group.second) for group in ordered]
    overall, within = sums_overall(scores), sums_within(scores)

    def agreement(sums: Sums) -> Agreement:
        value = _known(sums.coefficient())
        low, high = statistic_interval(
            sums.coefficient, len(sums.n), confidence=confidence, resamples=resamples, seed=seed
        ) or (None, None)
        return Agreement(value, low, high, None if value is None else sums.by_chance())

    steps = [
        Step(
            determinant=ordered[count - 1].determinant,
            share=count / len(ordered),
            groups=count,
            answers=int(overall.n[:count].sum()),
            overall=agreement(overall.of(0, count)),
            within=agreement(within.of(0, count)),
        )
        for count in _cuts([group.determinant for group in ordered], points)
    ]
    step = _hinge(steps)
    if step is None:
        return steps, None
    place, total = step.groups, len(ordered)
    admitted, left_out = overall.of(0, place), overall.of(place, total)
    interval = statistic_interval(
        lambda counts: (
            admitted.coefficient(counts[:, :place]) - left_out.coefficient(counts[:, place:])
        ),
        total,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    before, after = _known(admitted.coefficient()), _known(left_out.coefficient())
    if before is None or after is None or interval is None:
        return steps, None
    return steps, Bend(step, before, after, *interval)


def _cuts(determinants: Sequence[float], points: int) -> list[int]:
    """How many groups each step admits; none parts groups of one determinant."""
    total = len(determinants)
    ends = [
        place
        for place in range(1, total + 1)
        if place == total
        or not math.isclose(determinants[place - 1], determinants[place], rel_tol=_SAME)
    ]
    wanted = (math.ceil(total * point / points) for point in range(1, points + 1))
    return sorted({next(end for end in ends if end >= want) for want in wanted})


def _hinge(steps: Sequence[Step]) -> Step | None:
    """The step at which a broken line begins to fall.

    Of all lines ``a + b s + c max(0, s - s0) + d max(0, s - s1)`` over the share s of groups, with
    ``s0 < s1`` shares of steps, it is the one that fits RV best by least squares (Hudson, J. Am.
    Stat. Assoc. 61, 1966). The second hinge lets the fall end: as RV is taken over all groups that
    were admitted, it levels out, and with one hinge that would move the first one forward.

    Returns:
        None for fewer than 6 steps of enough groups, and where the line does not fall after the
        first hinge, or not more steeply than before.
    """
    known = [s for s in steps if s.overall.rv is not None and s.groups >= FEWEST_GROUPS]
    if len(known) < _FEWEST_STEPS:
        return None
    share = np.array([step.share for step in known])
    value = np.array([step.overall.rv for step in known], dtype=np.float64)
    best: tuple[float, Step, float, float] | None = None
    for one, two in combinations(known[1:-1], 2):
        if known[-1].groups - one.groups < FEWEST_GROUPS:
            continue
        hinges = [np.maximum(0, share - step.share) for step in (one, two)]
        design = np.stack([np.ones_like(share), share, *hinges], axis=1)
        line = np.linalg.lstsq(design, value, rcond=None)[0]
        error = float(np.square(value - design @ line).sum())
        if best is None or error < best[0]:
            best = (error, one, float(line[1]), float(line[1] + line[2]))
    if best is None:
        return None
    _, step, before, after = best
    return step if after < min(0.0, before) else None


def _known(values: Array) -> float | None:
    value = float(values[0])
    return value if math.isfinite(value) else None
