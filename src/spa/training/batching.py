"""Optimizer batches: whole prompt groups, about as many pairs as asked for.

A batch is what one optimizer step sees. The mean gap that the SPA loss divides by is taken over it,
so it must not depend on how the batch is later split to fit into memory.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from spa.training.encoding import EncodedGroup

__all__ = ["OptimizerBatch", "plan_batches"]


@dataclass(frozen=True, slots=True)
class OptimizerBatch:
    """The groups of one optimizer step.

    Attributes:
        epoch: From 0.
        groups: Whole groups, each with at least one pair.
    """

    epoch: int
    groups: tuple[EncodedGroup, ...]

    @property
    def pairs(self) -> int:
        """Number of pairs P."""
        return sum(len(group.chosen) for group in self.groups)

    @property
    def mean_gap_sum(self) -> float:
        """Mean over all P pairs of ``gap_sum``."""
        return math.fsum(gap for group in self.groups for gap in group.gap_sum) / self.pairs

    @property
    def mean_gap_l1(self) -> float:
        """Mean over all P pairs of ``gap_l1``."""
        return math.fsum(gap for group in self.groups for gap in group.gap_l1) / self.pairs


def plan_batches(
    groups: Sequence[EncodedGroup], batch_pairs: int, epochs: float, seed: int
) -> tuple[OptimizerBatch, ...]:
    """All batches of a training, epoch after epoch; the same arguments give the same plan.

    Each epoch shuffles the groups anew. A batch takes groups until one more would lead further
    away from ``batch_pairs`` than stopping. What is left at the end of an epoch is a batch of its
    own, or joins the one before if it is less than half of ``batch_pairs``.

    Args:
        groups: Groups with at least one pair each. A group is never split.
        batch_pairs: Pairs wanted in a batch, at least 1.
        epochs: How often each group is seen, above 0; of a last, partial epoch the same share of
            the shuffled groups is taken, at least one.
        seed: Of the shuffling.
    """
    batches: list[OptimizerBatch] = []
    for epoch in range(math.ceil(epochs)):
        order = list(groups)
        random.Random(f"{seed}/{epoch}").shuffle(order)
        order = order[: math.ceil(min(1.0, epochs - epoch) * len(order))]
        batches.extend(OptimizerBatch(epoch, tuple(part)) for part in _pack(order, batch_pairs))
    return tuple(batches)


def _pack(order: Sequence[EncodedGroup], batch_pairs: int) -> list[list[EncodedGroup]]:
    parts: list[list[EncodedGroup]] = []
    filled = 0
    for group in order:
        size = len(group.chosen)
        if not parts or filled + size - batch_pairs > batch_pairs - filled:
            parts.append([])
            filled = 0
        parts[-1].append(group)
        filled += size
    if len(parts) > 1 and filled < batch_pairs / 2:
        parts[-2].extend(parts.pop())
    return parts
