"""SLiC: a hinge on the margin between chosen and rejected, with a likelihood term.

Formula: Zhao et al., SLiC-HF (arXiv 2305.10425), with the chosen response as the target of the
regularisation, and log-probabilities divided by length so that long responses do not weigh more.
"""

from __future__ import annotations

import torch

from spa.api import PairBatch, PairLosses
from spa_rubric.loss_config import SlicConfig

__all__ = ["SlicLoss"]


class SlicLoss:
    """``max(0, margin - (a(y) - a(y-))) - regularization a(y)``, a(y) = log p(y|x) / |y|."""

    needs_reference = False

    def __init__(self, config: SlicConfig) -> None:
        """Keeps the settings."""
        self.config = config

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns (P,) losses."""
        chosen, rejected = batch.averages[batch.chosen], batch.averages[batch.rejected]
        hinge = torch.relu(self.config.margin - (chosen - rejected))
        metrics = {"margin": (chosen - rejected).detach(), "hinge": hinge.detach()}
        return PairLosses(losses=hinge - self.config.regularization * chosen, metrics=metrics)
