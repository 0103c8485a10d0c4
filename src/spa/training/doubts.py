"""Signs in the history of a training that its result should not be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from spa.training.encoding import Encoding

__all__ = ["data_doubts", "history_doubts"]

COLLAPSE = 1.0
"""Nats a token by which chosen responses may become less likely before it is said."""

History = Sequence[Mapping[str, float]]


def history_doubts(history: History, unchanged: bool) -> list[str]:
    """What the figures of the steps show.

    A run with zero gradient looks healthy otherwise; and losses that look at margins alone can
    fall while the model forgets the chosen responses too.

    Args:
        history: The figures of each optimizer step.
        unchanged: Whether the trained weights are those from before.
    """
    norms = [entry["grad_norm"] for entry in history]
    doubts = []
    zero = sum(norm == 0 for norm in norms)
    broken = sum(not math.isfinite(norm) for norm in norms)
    if zero:
        doubts.append(
            f"the gradient was 0 in {zero} of {len(norms)} steps, so nothing was learned in them"
        )
    if broken:
        doubts.append(
            f"the gradient was not finite in {broken} of {len(norms)} steps: "
            "lower train.learning_rate or set train.dtype: float32"
        )
    if unchanged:
        doubts.append(
            "training did not change the weights: what was saved behaves like the model before it"
        )
    fall = _fall(history)
    if fall > COLLAPSE:
        doubts.append(
            f"chosen responses lost {fall:.1f} nats a token in log-probability: the model "
            "unlearned them with the rejected ones. Lower train.learning_rate or train.epochs, or "
            "use a loss with a likelihood term (cpo, orpo)"
        )
    return doubts


def data_doubts(encoding: Encoding) -> list[str]:
    """What the data did not allow."""
    doubts = []
    if encoding.dropped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in encoding.dropped.items())
        doubts.append(f"pairs left out of training: {reasons}")
    if encoding.retokenised:
        doubts.append(
            f"{encoding.retokenised} responses came without token ids and were tokenised from "
            "their text, which may differ from what the model produced"
        )
    return doubts


def _fall(history: History) -> float:
    """By how much a token of chosen responses became less likely, from first to last tenth."""
    averages = [
        entry["logps/chosen"] / entry["lengths/chosen"]
        for entry in history
        if entry.get("lengths/chosen")
    ]
    if len(averages) < 2:
        return 0.0
    part = max(1, len(averages) // 10)
    return math.fsum(averages[:part]) / part - math.fsum(averages[-part:]) / part
