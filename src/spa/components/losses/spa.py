"""The SPA loss: SimPO, with each pair weighed by how far apart its scores are.

Formula: Self-Priority Alignment (arXiv 2511.06222), uncertainty-guided SimPO. A wide gap means a
confident judgement, so the pair counts more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from spa.api import PairBatch, PairLosses
from spa.components.losses.simpo import simpo_losses

if TYPE_CHECKING:
    from spa.components.losses.configs import SpaConfig

__all__ = ["SpaLoss", "gap_weights", "weight_shares"]


def gap_weights(gaps: torch.Tensor, mean_gap: float, alpha: float) -> torch.Tensor:
    """``w_i = (gap_i / mean_gap)^alpha``.

    Args:
        gaps: (P,) score gaps, at least 0.
        mean_gap: Their mean over the whole optimizer batch, of which these may be a part.
        alpha: Exponent, above 0, so that a gap of 0 gives weight 0.

    Returns:
        (P,) weights; all 1 where ``mean_gap`` is 0, since then no pair says more than another.
    """
    if mean_gap == 0:
        return torch.ones_like(gaps)
    return (gaps / mean_gap) ** alpha


def weight_shares(weights: torch.Tensor) -> dict[str, torch.Tensor]:
    """Which share of the pairs has which weight, for the log.

    Args:
        weights: (P,) at least 0.

    Returns:
        Four metrics of (P,) values that are 0 or 1: weight 0, above 0 and below 1, 1 to 2, above
        2. Each pair is in exactly one of them.
    """
    groups = {
        "weight/share_0": weights == 0,
        "weight/share_below_1": (weights > 0) & (weights < 1),
        "weight/share_1_to_2": (weights >= 1) & (weights <= 2),
        "weight/share_above_2": weights > 2,
    }
    return {name: member.to(weights.dtype) for name, member in groups.items()}


class SpaLoss:
    """``-w_i log sigmoid(beta/|y| log p(y|x) - beta/|y-| log p(y-|x) - gamma)``."""

    def __init__(self, config: SpaConfig) -> None:
        """Keeps the settings."""
        self.config = config

    @property
    def needs_reference(self) -> bool:
        """False: the rewards are length-normalised log-probabilities."""
        return False

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns (P,) weighted losses, and the weights among the metrics."""
        config = self.config
        plain = simpo_losses(batch, config.beta, config.gamma)
        weights = gap_weights(
            batch.gaps(config.gap).to(plain.losses.dtype), batch.mean_gap(config.gap), config.alpha
        )
        metrics = {
            **plain.metrics,
            "weight": weights,
            **weight_shares(weights),
        }
        return PairLosses(losses=weights * plain.losses, metrics=metrics)
