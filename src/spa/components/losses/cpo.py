"""CPO: a margin of log-probabilities without a reference, and a likelihood term for the chosen.

Formula: Xu et al., Contrastive Preference Optimization (arXiv 2401.08417), equation 3, with label
smoothing as in conservative DPO. The likelihood term is the mean over the tokens of the chosen
response, so it does not grow with its length. TRL's `CPOTrainer` takes that mean over all tokens
of a batch instead, where long responses count more, and adds the same term to its loss ``simpo``
unless ``cpo_alpha`` is 0; here `simpo` never has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spa.api import PairBatch, PairLosses
from spa.components.losses.logistic import logistic_losses
from spa.components.losses.rewards import reward_metrics

if TYPE_CHECKING:
    from spa.components.losses.likelihood_configs import CpoConfig

__all__ = ["CpoLoss"]


class CpoLoss:
    """``-(1-e) log sigmoid(m) - e log sigmoid(-m) - alpha log p(y|x) / |y|``.

    ``m = beta (log p(y|x) - log p(y-|x))``, sums over response tokens; e is the label smoothing.
    """

    def __init__(self, config: CpoConfig) -> None:
        """Keeps the settings."""
        self.config = config

    @property
    def needs_reference(self) -> bool:
        """False: CPO takes the reference as uniform."""
        return False

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns (P,) losses, and the likelihood term by itself among the metrics."""
        rewards_R = self.config.beta * batch.sums
        chosen_P, rejected_P = rewards_R[batch.chosen], rewards_R[batch.rejected]
        likelihood_P = -batch.averages[batch.chosen]
        losses_P = logistic_losses(chosen_P - rejected_P, self.config.label_smoothing)
        metrics = reward_metrics(chosen_P, rejected_P)
        metrics["nll_loss"] = likelihood_P.detach()
        return PairLosses(losses=losses_P + self.config.alpha * likelihood_P, metrics=metrics)
