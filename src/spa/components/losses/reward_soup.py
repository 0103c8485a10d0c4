"""Reward soup: SimPO on pairs put in order by one weighted sum of all scores.

This is the reading of the baseline in which the objectives are mixed before training: one composite
score ``sum_k a_k s_k`` decides which response of a pair is preferred. In the other reading
(Rewarded Soups, arXiv 2306.04488) one model is trained for each objective, for which the weights
here are 1 and 0, and the models' weights are interpolated: see ``train.soup``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from spa.api import PairBatch, PairLosses
from spa.components.losses.orientation import turned
from spa.components.losses.simpo import simpo_losses

if TYPE_CHECKING:
    from spa.components.losses.score_configs import RewardSoupConfig

__all__ = ["RewardSoupLoss", "composite_margins"]

_ROUNDING = 1e-6


def composite_margins(batch: PairBatch, shares: torch.Tensor) -> torch.Tensor:
    """``sum_k a_k (s_k(chosen) - s_k(rejected))`` of each pair.

    Args:
        batch: P pairs and K objectives.
        shares: (K,) the a_k, at least 0.

    Returns:
        (P,) margins, exactly 0 where the sum cancels up to rounding.
    """
    terms_PK = shares * (batch.scores[batch.chosen] - batch.scores[batch.rejected])
    margins_P = terms_PK.sum(-1)
    tie_P = margins_P.abs() <= _ROUNDING * terms_PK.abs().sum(-1)
    return torch.where(tie_P, torch.zeros_like(margins_P), margins_P)


class RewardSoupLoss:
    """SimPO on the pair as the composite score has it; 0 where the composite scores tie."""

    def __init__(self, config: RewardSoupConfig) -> None:
        """Keeps the settings."""
        self.config = config

    @property
    def needs_reference(self) -> bool:
        """False: SimPO has no reference model."""
        return False

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns (P,) losses, and the composite margin and what was turned among the metrics.

        Raises:
            ValueError: If there is not one weight for each objective.
        """
        config = self.config
        objectives = batch.scores.shape[1]
        if len(config.weights) != objectives:
            raise ValueError(config.wrong_count(objectives))
        margins_P = composite_margins(batch, batch.scores.new_tensor(config.shares))
        turn_P = margins_P < 0
        plain = simpo_losses(turned(batch, turn_P), config.beta, config.gamma)
        weights_P = (margins_P != 0).to(plain.losses.dtype)
        metrics = {
            **plain.metrics,
            "composite/margins": margins_P.abs(),
            "composite/turned": turn_P.to(plain.losses.dtype),
            "weight": weights_P,
        }
        return PairLosses(losses=weights_P * plain.losses, metrics=metrics)
