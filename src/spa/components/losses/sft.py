"""Supervised fine-tuning on the chosen responses, as a baseline on the same pairs.

One loss a pair, like every loss, so a response chosen in m pairs appears m times. That is the usual
reading (the chosen column of a preference data set) and the default; ``repeats: once`` gives each
of its appearances 1/m instead. m counts the pairs of one optimizer step; those of a prompt stay
together there, so m does not depend on how the step is split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from spa.api import PairBatch, PairLosses

if TYPE_CHECKING:
    from spa.components.losses.configs import SftConfig

__all__ = ["SftLoss"]


class SftLoss:
    """``-log p(y|x) / |y|`` of the chosen response y; the rejected one is not used."""

    def __init__(self, config: SftConfig) -> None:
        """Keeps the settings."""
        self.config = config

    @property
    def needs_reference(self) -> bool:
        """False: only the policy's log-probabilities count."""
        return False

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns (P,) losses."""
        losses = -batch.averages[batch.chosen]
        metrics = {"nll_loss": losses.detach()}
        if self.config.repeats == "once":
            times = torch.bincount(batch.chosen, minlength=batch.mask.shape[0])
            weights = 1.0 / times[batch.chosen].to(losses.dtype)
            losses = losses * weights
            metrics["weight"] = weights
        return PairLosses(losses=losses, metrics=metrics)
