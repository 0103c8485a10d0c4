"""What the losses share: the implicit reward of each response, and how it is logged."""

from __future__ import annotations

import torch

from spa.api import PairBatch

__all__ = ["log_ratios", "reward_metrics"]


def log_ratios(batch: PairBatch, *, length_normalized: bool = False) -> torch.Tensor:
    """``log p(y|x) / p_ref(y|x)`` of each response.

    Args:
        batch: R responses, with reference log-probabilities.
        length_normalized: Whether to divide by the number of response tokens.

    Returns:
        (R,) log ratios, 0 where the policy is the reference.

    Raises:
        ValueError: If the batch has no reference log-probabilities.
    """
    ratios_R = batch.sums - batch.reference_sums
    return ratios_R / batch.lengths if length_normalized else ratios_R


def reward_metrics(chosen: torch.Tensor, rejected: torch.Tensor) -> dict[str, torch.Tensor]:
    """Metrics of the implicit rewards, under the names that TRL logs.

    Args:
        chosen: (P,) rewards of the chosen responses.
        rejected: (P,) rewards of the rejected responses.
    """
    chosen, rejected = chosen.detach(), rejected.detach()
    return {
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/margins": chosen - rejected,
        "rewards/accuracies": (chosen > rejected).to(chosen.dtype),
    }
