"""SimPO: the margin of length-normalised log-probabilities, without a reference model.

Formula: Meng et al., SimPO (arXiv 2405.14734), equation 6, with an absolute gamma. The SPA loss
weighs the same term.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import logsigmoid

from spa.api import PairBatch, PairLosses
from spa.components.losses.rewards import reward_metrics

if TYPE_CHECKING:
    from spa.components.losses.configs import SimpoConfig

__all__ = ["SimpoLoss", "simpo_losses"]


def simpo_losses(batch: PairBatch, beta: float, gamma: float) -> PairLosses:
    """``-log sigmoid(beta/|y| log p(y|x) - beta/|y-| log p(y-|x) - gamma)`` for each pair.

    Args:
        batch: R responses and P pairs.
        beta: Scale of the rewards, above 0.
        gamma: Target margin, in units of the reward.

    Returns:
        (P,) losses, and metrics with gamma in both usual conventions.
    """
    rewards = beta * batch.averages
    chosen, rejected = rewards[batch.chosen], rewards[batch.rejected]
    metrics = reward_metrics(chosen, rejected)
    metrics["gamma"] = torch.full_like(metrics["rewards/margins"], gamma)
    metrics["gamma/beta"] = torch.full_like(metrics["rewards/margins"], gamma / beta)
    return PairLosses(losses=-logsigmoid(chosen - rejected - gamma), metrics=metrics)


class SimpoLoss:
    """SimPO without extra terms: nothing is added to the formula."""

    def __init__(self, config: SimpoConfig) -> None:
        """Keeps the settings."""
        self.config = config

    @property
    def needs_reference(self) -> bool:
        """False: SimPO has no reference model."""
        return False

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns (P,) losses; see `simpo_losses`."""
        return simpo_losses(batch, self.config.beta, self.config.gamma)
