"""Counts how many prompts reach each step, and why the others were lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spa.engine.rows import VerdictRow
from spa.types import PreferencePair

__all__ = ["FunnelStep", "funnel"]


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One step of the funnel.

    Attributes:
        name: ``"prompts"``, ``"sampled"``, ``"scored"``, a denoiser's name, or ``"paired"``.
        prompts: Prompts that reached it.
        lost: Reason to number of prompts lost on the way from the step before.
        pairs: Preference pairs, for the last step only.
    """

    name: str
    prompts: int
    lost: Mapping[str, int] = field(default_factory=dict)
    pairs: int | None = None


def funnel(
    verdicts: Sequence[VerdictRow], denoisers: Sequence[str], pairs: Iterable[PreferencePair]
) -> list[FunnelStep]:
    """The funnel of a round; every training prompt is in it exactly once.

    Args:
        verdicts: One for every training prompt.
        denoisers: Names of the recipe's denoisers, in order.
        pairs: All pairs.
    """
    left = len(verdicts)
    steps = [FunnelStep("prompts", left)]
    places = [("sampled", "sample"), ("refined", "refine"), ("scored", "judge")]
    for name, place in [*places, *((name, name) for name in dict.fromkeys(denoisers))]:
        lost = Counter(v.reason for v in verdicts if not v.keep and v.lost_at == place)
        left -= lost.total()
        if name != "refined" or lost:
            steps.append(FunnelStep(name, left, dict(lost)))
    all_pairs = list(pairs)
    with_pairs = len({pair.prompt_id for pair in all_pairs})
    lost_pairing = {"no_pair": left - with_pairs} if left > with_pairs else {}
    steps.append(FunnelStep("paired", with_pairs, lost_pairing, len(all_pairs)))
    return steps
