"""Optimizer batches: whole prompt groups, about as many pairs as asked for.

A batch is what one optimizer step sees. The mean gap that the SPA loss divides by is taken over it,
so it must not depend on how the batch is later split to fit into memory.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    groups: Sequence[EncodedGroup],
    batch_pairs: int,
    epochs: float,
    seed: int,
    *,
    singly: bool = False,
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
        singly: Whether pairs are shuffled one by one instead of in groups, as other trainers do.
            Pairs of one prompt that come into one batch share their responses there, too.
    """
    batches: list[OptimizerBatch] = []
    units = [pair for group in groups for pair in _single_pairs(group)] if singly else groups
    for epoch in range(math.ceil(epochs)):
        order = list(units)
        random.Random(f"{seed}/{epoch}").shuffle(order)
        order = order[: math.ceil(min(1.0, epochs - epoch) * len(order))]
        for part in _pack(order, batch_pairs):
            batches.append(OptimizerBatch(epoch, tuple(_rejoined(part) if singly else part)))
    return tuple(batches)


def _single_pairs(group: EncodedGroup) -> list[EncodedGroup]:
    """A group for each pair, with its two responses."""
    return [_with_pairs(group, [pair]) for pair in range(len(group.chosen))]


def _with_pairs(group: EncodedGroup, pairs: Sequence[int]) -> EncodedGroup:
    """The group with some of its pairs, and the responses that are in them."""
    kept = sorted({side[pair] for pair in pairs for side in (group.chosen, group.rejected)})
    place = {old: new for new, old in enumerate(kept)}
    return replace(
        group,
        responses=tuple(group.responses[old] for old in kept),
        response_ids=tuple(group.response_ids[old] for old in kept),
        scores=tuple(group.scores[old] for old in kept),
        chosen=tuple(place[group.chosen[pair]] for pair in pairs),
        rejected=tuple(place[group.rejected[pair]] for pair in pairs),
        gap_sum=tuple(group.gap_sum[pair] for pair in pairs),
        gap_l1=tuple(group.gap_l1[pair] for pair in pairs),
    )


def _rejoined(part: Sequence[EncodedGroup]) -> list[EncodedGroup]:
    """Puts pairs of one prompt together again, in the order in which prompts first come."""
    of_prompt: dict[str, list[EncodedGroup]] = {}
    for group in part:
        of_prompt.setdefault(group.prompt_id, []).append(group)
    return [_union(groups) for groups in of_prompt.values()]


def _union(groups: Sequence[EncodedGroup]) -> EncodedGroup:
    """One group with the responses and pairs of several of one prompt."""
    place: dict[str, int] = {}
    rows: list[tuple[EncodedGroup, int]] = []
    for group in groups:
        for row, name in enumerate(group.response_ids):
            if name not in place:
                place[name] = len(rows)
                rows.append((group, row))

    def places(side: str) -> tuple[int, ...]:
        return tuple(place[g.response_ids[row]] for g in groups for row in getattr(g, side))

    return replace(
        groups[0],
        responses=tuple(group.responses[row] for group, row in rows),
        response_ids=tuple(place),
        scores=tuple(group.scores[row] for group, row in rows),
        chosen=places("chosen"),
        rejected=places("rejected"),
        gap_sum=tuple(gap for group in groups for gap in group.gap_sum),
        gap_l1=tuple(gap for group in groups for gap in group.gap_l1),
    )


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
