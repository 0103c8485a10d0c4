"""Figures of a training step: sums over pairs, which add up over micro-batches and processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from spa.contracts import PairBatch, PairLosses
from spa.types import Objective

__all__ = ["Figures", "decided_by", "pair_figures"]

_BY_OBJECTIVE = ("rewards/margins", "rewards/accuracies")


@dataclass(slots=True)
class Figures:
    """Sums and counts by name.

    Attributes:
        sums: Name to the sum of its values.
        counts: Name to how many values it had.
    """

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, values: torch.Tensor) -> None:
        """Adds values; of an empty tensor only the name is kept."""
        total = float(values.detach().double().sum())
        self.sums[name] = self.sums.get(name, 0.0) + total
        self.counts[name] = self.counts.get(name, 0.0) + values.numel()

    def means(self) -> dict[str, float]:
        """Name to mean, for names that had a value."""
        return {
            name: total / self.counts[name]
            for name, total in self.sums.items()
            if self.counts[name]
        }


def pair_figures(
    figures: Figures, pairs: PairBatch, outcome: PairLosses, objectives: Sequence[Objective]
) -> None:
    """Adds the figures of some pairs.

    Those of the loss; lengths and log-probabilities of responses; and for each objective the share
    of pairs that it decides, with their reward margins and accuracies.

    Args:
        figures: Where they are added.
        pairs: P pairs.
        outcome: What the loss made of them.
        objectives: In the recipe's order, as ``pairs.scores`` has them.
    """
    sums, lengths = pairs.sums.detach(), pairs.lengths
    named: Mapping[str, torch.Tensor] = {
        **outcome.metrics,
        "lengths/chosen": lengths[pairs.chosen],
        "lengths/rejected": lengths[pairs.rejected],
        "logps/chosen": sums[pairs.chosen],
        "logps/rejected": sums[pairs.rejected],
    }
    for name, values in named.items():
        figures.add(name, values)
    decider_P = decided_by(pairs, objectives)
    for place, objective in enumerate(objectives):
        mine = decider_P == place
        figures.add(f"decides/{objective.name}", mine.double())
        for name in _BY_OBJECTIVE:
            if name in named:
                figures.add(f"{name}/{objective.name}", named[name][mine])


def decided_by(pairs: PairBatch, objectives: Sequence[Objective]) -> torch.Tensor:
    """(P,) place of the objective that made each chosen response the better one; -1 if none did.

    That is the first one on which it scores higher, scores above a threshold being equal. They are
    compared exactly: where the pair builder took near scores for ties, a pair may be counted under
    an objective before the one that decided it.
    """
    highest = [float("inf") if o.threshold is None else o.threshold for o in objectives]
    scores_RK = pairs.scores.minimum(pairs.scores.new_tensor(highest))
    higher_PK = scores_RK[pairs.chosen] > scores_RK[pairs.rejected]
    return torch.where(higher_PK.any(-1), higher_PK.double().argmax(-1), -1)
