"""IPO: the margin of log ratios is pulled to a fixed value, so that it does not grow for ever.

Formula: Azar et al., A General Theoretical Paradigm to Understand Learning from Human Preferences
(arXiv 2310.12036), equation 17, with beta for its tau. The paper writes log ratios of whole
responses. TRL's `DPOTrainer` divides each by the number of response tokens, and says that the
authors confirmed this for the paper's experiments; ``length_normalized: true`` does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spa.api import PairBatch, PairLosses
from spa.components.losses.rewards import log_ratios, reward_metrics

if TYPE_CHECKING:
    from spa.components.losses.ratio_configs import IpoConfig

__all__ = ["IpoLoss"]


class IpoLoss:
    """``(h - 1/(2 beta))^2``, with ``h = log p(y|x)/p_ref(y|x) - log p(y-|x)/p_ref(y-|x)``.

    The rewards among the metrics are beta times the ratios that the loss compares, so their margin
    is pulled to 1/2.
    """

    def __init__(self, config: IpoConfig) -> None:
        """Keeps the settings."""
        self.config = config

    @property
    def needs_reference(self) -> bool:
        """True: the ratios are to the reference policy."""
        return True

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns (P,) losses."""
        beta = self.config.beta
        ratios_R = log_ratios(batch, length_normalized=self.config.length_normalized)
        chosen_P, rejected_P = ratios_R[batch.chosen], ratios_R[batch.rejected]
        return PairLosses(
            losses=(chosen_P - rejected_P - 1 / (2 * beta)) ** 2,
            metrics=reward_metrics(beta * chosen_P, beta * rejected_P),
        )
