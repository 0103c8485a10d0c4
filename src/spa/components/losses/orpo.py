"""ORPO: likelihood of the chosen response, and the odds of chosen against rejected.

Formula: Hong et al., ORPO (arXiv 2403.07691), equations 4 to 7, with beta for its lambda. The
probability of a response is that of an average token: ``exp(log p(y|x) / |y|)``. TRL's
`ORPOTrainer` has the same odds term, but its likelihood term runs over the prompt as well and
averages over all tokens of a batch; here it is the mean over the tokens of the chosen response.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import logsigmoid

from spa.api import PairBatch, PairLosses
from spa.components.losses.rewards import reward_metrics

if TYPE_CHECKING:
    from spa.components.losses.likelihood_configs import OrpoConfig

__all__ = ["OrpoLoss", "log_odds"]


def log_odds(averages: torch.Tensor) -> torch.Tensor:
    """``log p / (1 - p)`` of probabilities that are given as logarithms.

    Args:
        averages: (R,) log p, at most 0.

    Returns:
        (R,) log odds, finite. Where p is 1 up to the precision of the type, the odds are those of
        the largest p below 1 and have no gradient: it would be that of rounding.
    """
    logs_R = averages.clamp(max=-torch.finfo(averages.dtype).eps)
    return logs_R - _log_one_minus_exp(logs_R)


def _log_one_minus_exp(logs: torch.Tensor) -> torch.Tensor:
    """``log(1 - exp(x))`` for x below 0, without cancellation on either side of ``-log 2``."""
    half = -math.log(2)
    near_zero = torch.log(-torch.expm1(logs))
    # `torch.where` multiplies the gradient of the branch not taken by 0, and where exp(x) rounds
    # to 1, as it may just below 0 on some devices, that would be 0 times infinity.
    far = torch.log1p(-torch.exp(logs.clamp(max=half)))
    return torch.where(logs > half, near_zero, far)


class OrpoLoss:
    """``-log p(y|x) / |y| - beta log sigmoid(log odds(y|x) - log odds(y-|x))``."""

    def __init__(self, config: OrpoConfig) -> None:
        """Keeps the settings."""
        self.config = config

    @property
    def needs_reference(self) -> bool:
        """False: ORPO has no reference model."""
        return False

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns (P,) losses, and both terms by themselves among the metrics."""
        beta = self.config.beta
        odds_R = log_odds(batch.averages)
        ratios_P = odds_R[batch.chosen] - odds_R[batch.rejected]
        agreement_P = logsigmoid(ratios_P)
        chosen_P, rejected_P = batch.averages[batch.chosen], batch.averages[batch.rejected]
        metrics = reward_metrics(beta * chosen_P, beta * rejected_P)
        metrics["nll_loss"] = -chosen_P.detach()
        metrics["log_odds_chosen"] = ratios_P.detach()
        metrics["log_odds_ratio"] = agreement_P.detach()
        return PairLosses(losses=-chosen_P - beta * agreement_P, metrics=metrics)
