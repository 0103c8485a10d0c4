"""Both sides of a case in turn, checked against each other, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

from train.launch import measure
from train.settings import Measured, Order, Side

__all__ = ["Comparison", "compare"]

LOSS_TOLERANCE = {"float32": 1e-3, "bfloat16": 1e-2}
"""Relative. Both sides see the same weights; rounding differs with the layout of the tokens."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All repeats of a case.

    Attributes:
        name: Of the case.
        spa: One for each repeat.
        trl: The same.
    """

    name: str
    spa: tuple[Measured, ...]
    trl: tuple[Measured, ...]

    @property
    def ratios(self) -> dict[str, float]:
        """Medians over repeats: how many times as fast, and at what share of the memory."""
        both = list(zip(self.spa, self.trl, strict=True))
        speed = median(ours.pairs_a_second / theirs.pairs_a_second for ours, theirs in both)
        memory = median(ours.peak_bytes / theirs.peak_bytes for ours, theirs in both)
        return {"speed_ratio": round(speed, 3), "memory_ratio": round(memory, 3)}

    def differences(self, dtype: str) -> list[str]:
        """Why the sides did not do the same; empty if they did."""
        found = []
        for ours, theirs in zip(self.spa, self.trl, strict=True):
            if ours.digest != theirs.digest:
                found.append(f"{self.name}: TRL trained on other token ids than spa")
            # Put so that a loss that is not a number counts as different.
            if not abs(ours.loss - theirs.loss) <= LOSS_TOLERANCE[dtype] * abs(theirs.loss):
                found.append(f"{self.name}: loss {ours.loss} of spa, {theirs.loss} of TRL")
        return found


def compare(order: Order, repeats: int, say: Callable[[str], None]) -> Comparison:
    """Measures spa and TRL in turn, each in a process of its own.

    Args:
        order: The case and the settings; its side is not looked at.
        repeats: How often.
        say: Told of every step measured.
    """
    sides: dict[Side, list[Measured]] = {"spa": [], "trl": []}
    for repeat in range(repeats):
        for side, found in sides.items():
            step = measure(replace(order, side=side))
            found.append(step)
            say(
                f"{order.case.name} {repeat + 1}/{repeats} {side}: {step.pairs} pairs in "
                f"{step.seconds:.1f} s (processor {step.cpu_seconds:.1f} s), "
                f"peak {step.peak_bytes / 1e6:.0f} MB, loss {step.loss:.6f} ({step.how})"
            )
    return Comparison(order.case.name, tuple(sides["spa"]), tuple(sides["trl"]))
