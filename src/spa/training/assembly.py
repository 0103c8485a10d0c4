"""Puts together what a loss sees: log-probabilities with pairs, scores and gaps of some groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from spa.contracts import PairBatch
from spa.training.batching import OptimizerBatch
from spa.training.encoding import EncodedGroup

__all__ = ["pair_batch"]


def pair_batch(
    batch: OptimizerBatch,
    groups: Sequence[EncodedGroup],
    logprobs: torch.Tensor,
    mask: torch.Tensor,
    reference_logprobs: torch.Tensor | None = None,
    collision_logprobs: torch.Tensor | None = None,
) -> PairBatch:
    """The pairs of some groups of an optimizer batch, with the mean gaps of the whole batch.

    Args:
        batch: The optimizer batch.
        groups: Some of its groups, in the order of the rows.
        logprobs: (R, T) token log-probabilities.
        mask: (R, T) 1 for response tokens.
        reference_logprobs: (R, T) or None.
        collision_logprobs: (R, T) or None.
    """
    device = logprobs.device
    chosen: list[int] = []
    rejected: list[int] = []
    rows = 0
    for group in groups:
        chosen.extend(rows + place for place in group.chosen)
        rejected.extend(rows + place for place in group.rejected)
        rows += len(group.responses)

    def floats(values: Iterable[float]) -> torch.Tensor:
        return torch.tensor(list(values), dtype=logprobs.dtype, device=device)

    return PairBatch(
        logprobs=logprobs,
        mask=mask,
        chosen=torch.tensor(chosen, device=device),
        rejected=torch.tensor(rejected, device=device),
        scores=torch.tensor(
            [scores for group in groups for scores in group.scores],
            dtype=logprobs.dtype,
            device=device,
        ),
        gap_sum=floats(gap for group in groups for gap in group.gap_sum),
        gap_l1=floats(gap for group in groups for gap in group.gap_l1),
        mean_gap_sum=batch.mean_gap_sum,
        mean_gap_l1=batch.mean_gap_l1,
        reference_logprobs=reference_logprobs,
        collision_logprobs=collision_logprobs,
    )
