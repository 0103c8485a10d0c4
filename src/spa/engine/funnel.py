"""Counts how many prompts reach each step, and why the others were lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spa.engine.rows import VerdictRow
from spa.types import PreferencePair, RequestFailure

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
    verdicts: Sequence[VerdictRow],
    denoisers: Sequence[str],
    pairs: Sequence[PreferencePair],
    broken: Mapping[str, RequestFailure] | None = None,
) -> list[FunnelStep]:
    """The funnel of a round; every training prompt is in it exactly once.

    Args:
        verdicts: One for every training prompt.
        denoisers: Qualified names of the recipe's denoisers, in order.
        pairs: All pairs.
        broken: Prompts on which the pair builder broke.
    """
    left = len(verdicts)
    steps = [FunnelStep("prompts", left)]
    places = [("sampled", "sample"), ("refined", "refine"), ("scored", "judge")]
    own = [(name.rpartition("/")[2], name) for name in dict.fromkeys(denoisers)]
    for name, place in [*places, *own, ("denoised", "denoise")]:
        lost = Counter(v.reason for v in verdicts if not v.keep and v.lost_at == place)
        left -= lost.total()
        if lost or name not in ("refined", "denoised"):
            steps.append(FunnelStep(name, left, dict(lost)))
    with_pairs = len({pair.prompt_id for pair in pairs})
    unpaired = Counter(failure.reason for failure in (broken or {}).values())
    unpaired["no_pair"] += left - with_pairs - unpaired.total()
    lost_pairing = {reason: count for reason, count in unpaired.items() if count}
    steps.append(FunnelStep("paired", with_pairs, lost_pairing, len(pairs)))
    return steps
