"""SafeDPO: DPO on pairs put in order by safety, with a wider margin between safe and unsafe.

Formula: Kim et al., SafeDPO (arXiv 2505.20065), equations 11 and 12. Each response has an indicator
h, 1 where it is unsafe. A pair whose chosen response alone is unsafe is turned round; a pair with
two unsafe responses is left out; the rest is DPO, with the margin less ``(h(y-) - h(y)) delta``.
The authors published no code that we know of. The equations, the rule for pairs and the default of
delta were read in a port by others that names them, not in the paper itself.

Where this differs: the paper's data sets come with the indicator, here it is a score below a
threshold. A pair that is left out has loss 0 and still counts in the number of pairs that the
trainer divides by, so steps are smaller in batches where many are; the metric ``safety/left_out``
says how many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spa.api import PairBatch, PairLosses
from spa.components.losses.logistic import logistic_losses
from spa.components.losses.orientation import turned
from spa.components.losses.rewards import log_ratios, reward_metrics

if TYPE_CHECKING:
    from spa.components.losses.score_configs import SafeDpoConfig

__all__ = ["SafeDpoLoss"]


class SafeDpoLoss:
    """``-log sigmoid(m - (h(y-) - h(y)) delta)``, with m as in DPO, on pairs ordered by safety.

    Rewards among the metrics are those after the pairs are in order, of all pairs.
    """

    def __init__(self, config: SafeDpoConfig) -> None:
        """Keeps the settings."""
        self.config = config

    @property
    def needs_reference(self) -> bool:
        """True: the ratios are to the reference policy."""
        return True

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns (P,) losses, 0 for pairs of two unsafe responses.

        Raises:
            ValueError: If there is no objective at the place ``objective``.
        """
        config = self.config
        objectives = batch.scores.shape[1]
        if config.objective >= objectives:
            raise ValueError(config.out_of_range(objectives))
        unsafe_R = batch.scores[:, config.objective] < config.threshold
        turn_P = unsafe_R[batch.chosen] & ~unsafe_R[batch.rejected]
        batch = turned(batch, turn_P)
        rewards_R = config.beta * log_ratios(batch)
        chosen_P, rejected_P = rewards_R[batch.chosen], rewards_R[batch.rejected]
        indicator_R = unsafe_R.to(rewards_R.dtype)
        offset_P = config.delta * (indicator_R[batch.rejected] - indicator_R[batch.chosen])
        # After turning, an unsafe chosen response means that both are, and that pair is left out.
        kept_P = 1 - indicator_R[batch.chosen]
        metrics = {
            **reward_metrics(chosen_P, rejected_P),
            "safety/turned": turn_P.to(rewards_R.dtype),
            "safety/left_out": 1 - kept_P,
        }
        losses_P = kept_P * logistic_losses(chosen_P - rejected_P - offset_P)
        return PairLosses(losses=losses_P, metrics=metrics)
