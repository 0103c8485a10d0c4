"""Sampling row by row: the right distribution, the row's own seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from spa.components.backends.sampling import RowSampler, keep_nucleus

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -30.0])
DRAWS = 4000


def frequencies(temperature: float, top_p: float) -> np.ndarray:
    sampler = RowSampler([temperature] * DRAWS, [top_p] * DRAWS, list(range(DRAWS)))
    tokens = sampler.pick(LOGITS.expand(DRAWS, -1))
    return np.bincount(tokens.numpy(), minlength=len(LOGITS))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_tokens_are_drawn_with_their_probabilities(temperature: float) -> None:
    seen = frequencies(temperature, 1.0)
    expected = (LOGITS.double() / temperature).softmax(-1).numpy() * DRAWS
    likely = expected > 5
    expected[likely] += expected[~likely].sum() / likely.sum()
    assert stats.chisquare(seen[likely], expected[likely], sum_check=False).pvalue > 1e-4


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    probabilities = LOGITS.softmax(-1)
    for top_p in (0.1, 0.65, 0.9, 0.999):
        kept = keep_nucleus(probabilities[None], torch.tensor([top_p], dtype=torch.float64))[0] > 0
        size = int(kept.sum())
        assert kept[:size].all()
        assert probabilities[:size].sum() >= top_p
        assert size == 1 or probabilities[: size - 1].sum() < top_p
    assert frequencies(1.0, 0.65)[2:].sum() == 0


def test_temperature_zero_is_greedy_beside_rows_that_sample() -> None:
    sampler = RowSampler([0.0, 1.0, 0.0], [1.0] * 3, [1, 2, 3])
    for _ in range(20):
        tokens = sampler.pick(LOGITS.expand(3, -1))
        assert tokens[0] == tokens[2] == 0


def test_a_row_draws_the_same_wherever_it_stands() -> None:
    first = RowSampler([1.0] * 3, [1.0] * 3, [7, 8, 9])
    second = RowSampler([1.0] * 2, [1.0] * 2, [9, 7])
    rows = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    for _ in range(10):
        three, two = first.pick(rows), second.pick(rows[[2, 0]])
        assert three[[2, 0]].tolist() == two.tolist()


def test_scores_leave_only_the_sampled_token() -> None:
    sampler = RowSampler([1.0, 0.0], [1.0, 1.0], [0, 0])
    scores = sampler(torch.zeros(2, 1, dtype=torch.long), LOGITS.expand(2, -1))
    assert (scores == 0).sum(-1).tolist() == [1, 1]
    assert torch.isneginf(scores).sum(-1).tolist() == [4, 4]
