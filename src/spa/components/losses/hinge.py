"""Hinge: pairs that are apart by a margin cost nothing, and the others cost in proportion.

Formula: the calibration loss of Zhao et al., SLiC-HF (arXiv 2305.10425), on DPO's margin, as TRL's
loss ``hinge`` has it. SLiC-HF itself compares log-probabilities without a reference and adds a
likelihood term.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from spa.api import PairBatch, PairLosses
from spa.components.losses.rewards import log_ratios, reward_metrics

if TYPE_CHECKING:
    from spa.components.losses.ratio_configs import HingeConfig

__all__ = ["HingeLoss"]


class HingeLoss:
    """``max(0, 1 - beta h)``, with ``h = log p(y|x)/p_ref(y|x) - log p(y-|x)/p_ref(y-|x)``."""

    def __init__(self, config: HingeConfig) -> None:
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
        losses_P = torch.relu(1 - (chosen_P - rejected_P))
        return PairLosses(losses=losses_P, metrics=reward_metrics(chosen_P, rejected_P))
