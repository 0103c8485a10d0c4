"""The logistic loss on a margin of rewards, with label smoothing: the term of DPO, CPO and kin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import logsigmoid

if TYPE_CHECKING:
    import torch

__all__ = ["logistic_losses"]


def logistic_losses(margins: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """``-(1-e) log sigmoid(m) - e log sigmoid(-m)``, with e the label smoothing.

    Args:
        margins: (P,) reward of the chosen response less that of the rejected one.
        label_smoothing: Assumed probability that a pair is the wrong way round, below 0.5.

    Returns:
        (P,) losses, above 0.
    """
    losses_P = -logsigmoid(margins)
    if label_smoothing == 0:
        return losses_P
    return (1 - label_smoothing) * losses_P - label_smoothing * logsigmoid(-margins)
