"""Counts how many prompts reach each step, and why the others were lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from spa.engine.rows import VerdictRow
from spa.engine.stages.stage import StageRows
from spa.types import PreferencePair

__all__ = ["FunnelStep", "funnel"]


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One step of the funnel.

    Attributes:
        name: ``"prompts"``, ``"sampled"``, ``"scored"``, a denoiser's bare name, or ``"paired"``;
            ``"refined"`` and ``"denoised"`` only where a component broke.
        prompts: Prompts that reached it.
        lost: Reason to number of prompts lost on the way from the step before.
        pairs: Preference pairs, for the last step only.
    """

    name: str
    prompts: int
    lost: Mapping[str, int] = field(default_factory=dict)
    pairs: int | None = None


def funnel(
    verdicts: Iterable[VerdictRow],
    denoisers: Sequence[str],
    pairs: StageRows[PreferencePair],
) -> list[FunnelStep]:
    """The funnel of a round; every training prompt is in it exactly once.

    Args:
        verdicts: One for every training prompt; gone through once.
        denoisers: Qualified names of the recipe's denoisers, in order.
        pairs: All pairs, those of one prompt together, and the prompts on which the builder broke.
    """
    left = 0
    lost_at: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        left += 1
        if not verdict.keep:
            lost_at.setdefault(verdict.lost_at, Counter())[verdict.reason] += 1
    steps = [FunnelStep("prompts", left)]
    places = [("sampled", "sample"), ("refined", "refine"), ("scored", "judge")]
    own = [(name.rpartition("/")[2], name) for name in dict.fromkeys(denoisers)]
    for name, place in [*places, *own, ("denoised", "denoise")]:
        lost = lost_at.get(place, Counter())
        left -= lost.total()
        if lost or name not in ("refined", "denoised"):
            steps.append(FunnelStep(name, left, dict(lost)))
    with_pairs = sum(1 for _ in groupby(pairs.column("prompt_id")))
    unpaired = Counter(failure.reason for failure in pairs.failures.values())
    unpaired["no_pair"] += left - with_pairs - unpaired.total()
    lost_pairing = {reason: count for reason, count in unpaired.items() if count}
    steps.append(FunnelStep("paired", with_pairs, lost_pairing, len(pairs.rows)))
    return steps
