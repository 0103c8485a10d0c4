"""WPO: DPO, with each pair weighed by how likely the policy is to write its responses today.

Formula: Zhou et al., WPO (arXiv 2406.11827), equation 2 with "sampled alignment": a token's
log-probability is measured against the one that a token sampled from the policy would have. So
responses that the policy would sample itself weigh about 1, and those of another model, or of the
policy long ago, weigh less. The authors' code clamps the weight of a pair at 1, as the default here
does; TRL 1.16 (``use_weighting``) does not, which is ``max_weight: null``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from spa.api import PairBatch, PairLosses
from spa.components.losses.logistic import logistic_losses
from spa.components.losses.rewards import log_ratios, reward_metrics

if TYPE_CHECKING:
    from spa.components.losses.ratio_configs import WpoConfig

__all__ = ["WpoLoss", "policy_weights"]


def policy_weights(batch: PairBatch, max_weight: float | None = None) -> torch.Tensor:
    """``w(y) w(y-)``, with ``w(y) = exp(mean_t [log p(y_t) - log sum_v p(v)^2])``.

    Args:
        batch: P pairs, with collision log-probabilities.
        max_weight: No weight is above this; None for no limit.

    Returns:
        (P,) weights, at least 0, without a gradient.

    Raises:
        ValueError: If the batch has no collision log-probabilities.
    """
    logs_R = (batch.sums.detach() - batch.collision_sums.detach()) / batch.lengths
    weights_P = torch.exp(logs_R[batch.chosen] + logs_R[batch.rejected])
    return weights_P if max_weight is None else weights_P.clamp(max=max_weight)


class WpoLoss:
    """``-w(y) w(y-) log sigmoid(m)``, with m as in DPO; see `policy_weights`."""

    needs_collision = True

    def __init__(self, config: WpoConfig) -> None:
        """Keeps the settings."""
        self.config = config

    @property
    def needs_reference(self) -> bool:
        """True: the ratios are to the reference policy."""
        return True

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns (P,) weighted losses, and the weights among the metrics."""
        rewards_R = self.config.beta * log_ratios(batch)
        chosen_P, rejected_P = rewards_R[batch.chosen], rewards_R[batch.rejected]
        weights_P = policy_weights(batch, self.config.max_weight)
        metrics = {**reward_metrics(chosen_P, rejected_P), "weight": weights_P}
        return PairLosses(
            losses=weights_P * logistic_losses(chosen_P - rejected_P), metrics=metrics
        )
