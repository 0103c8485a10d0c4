"""DPO: the margin of log-probability ratios to the model at the start of the round.

Formula: Rafailov et al., Direct Preference Optimization (arXiv 2305.18290), equation 7; label
smoothing as in conservative DPO, which TRL 1.x no longer has for its loss ``sigmoid``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spa.api import PairBatch, PairLosses
from spa.components.losses.logistic import logistic_losses
from spa.components.losses.rewards import log_ratios, reward_metrics

if TYPE_CHECKING:
    from spa.components.losses.configs import DpoConfig

__all__ = ["DpoLoss"]


class DpoLoss:
    """``-(1-e) log sigmoid(m) - e log sigmoid(-m)``, with e the label smoothing.

    ``m = beta (log p(y|x)/p_ref(y|x) - log p(y-|x)/p_ref(y-|x))``, sums over response tokens.
    """

    def __init__(self, config: DpoConfig) -> None:
        """Keeps the settings."""
        self.config = config

    @property
    def needs_reference(self) -> bool:
        """True: the ratios are to the reference policy."""
        return True

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns (P,) losses."""
        rewards_R = self.config.beta * log_ratios(batch)
        chosen_P, rejected_P = rewards_R[batch.chosen], rewards_R[batch.rejected]
        losses_P = logistic_losses(chosen_P - rejected_P, self.config.label_smoothing)
        return PairLosses(losses=losses_P, metrics=reward_metrics(chosen_P, rejected_P))
