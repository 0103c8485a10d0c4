"""Turns pairs round, for losses that decide by the scores which response is preferred."""

from __future__ import annotations

from dataclasses import replace

import torch

from spa.api import PairBatch

__all__ = ["turned"]


def turned(batch: PairBatch, turn: torch.Tensor) -> PairBatch:
    """The same batch, with chosen and rejected exchanged in some pairs.

    Args:
        batch: P pairs. Their gaps are absolute, so they stay as they are.
        turn: (P,) True for the pairs to turn round.
    """
    return replace(
        batch,
        chosen=torch.where(turn, batch.rejected, batch.chosen),
        rejected=torch.where(turn, batch.chosen, batch.rejected),
    )
