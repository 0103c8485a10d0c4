"""DPO: the margin of log-probability ratios to the model at the start of the round.

Formula: Rafailov et al., Direct Preference Optimization (arXiv 2305.18290), equation 7; label
smoothing as in conservative DPO.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import logsigmoid

from spa.api import PairBatch, PairLosses
from spa.components.losses.simpo import reward_metrics

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
        rewards = self.config.beta * (batch.sums - batch.reference_sums)
        chosen, rejected = rewards[batch.chosen], rewards[batch.rejected]
        margins, smoothing = chosen - rejected, self.config.label_smoothing
        losses = -(1 - smoothing) * logsigmoid(margins) - smoothing * logsigmoid(-margins)
        return PairLosses(losses=losses, metrics=reward_metrics(chosen, rejected))
