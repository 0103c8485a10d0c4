"""Sampling row by row: the right distribution, the row's own seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from spa.components.backends import sampling
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


def test_a_nucleus_is_the_same_among_the_likeliest_and_among_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = (3 * torch.randn(5, 400, generator=generator)).softmax(-1)
    top_p = torch.tensor([0.1, 0.5, 0.9, 0.99, 0.9999], dtype=torch.float64)
    among_all = keep_nucleus(probabilities, top_p)
    for likely in (1, 20, 390):
        monkeypatch.setattr(sampling, "LIKELY", likely)
        assert torch.equal(keep_nucleus(probabilities, top_p), among_all)


def test_rows_with_and_without_a_nucleus_stand_side_by_side() -> None:
    sampler = RowSampler([1.0] * DRAWS, [1e-6, 1.0] * (DRAWS // 2), list(range(DRAWS)))
    tokens = sampler.pick(LOGITS.expand(DRAWS, -1))
    assert (tokens[::2] == 0).all()
    assert set(tokens[1::2].tolist()) == {0, 1, 2, 3}


def test_rows_join_and_leave_with_their_own_draws() -> None:
    rows = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    alone = [RowSampler([1.0], [1.0], [seed]) for seed in (1, 2, 3, 4)]
    expected = [[int(each.pick(rows[[i]])) for _ in range(3)] for i, each in enumerate(alone)]
    sampler = RowSampler([1.0, 1.0], [1.0, 1.0], [1, 2])
    assert sampler.pick(rows[:2]).tolist() == [expected[0][0], expected[1][0]]
    sampler.join(RowSampler([1.0, 1.0], [1.0, 1.0], [3, 4]))
    first = sampler.pick(rows).tolist()
    assert first == [expected[0][1], expected[1][1], expected[2][0], expected[3][0]]
    sampler.keep([3, 1])
    assert sampler.pick(rows[[3, 1]]).tolist() == [expected[3][1], expected[1][2]]
