from __future__ import annotations

import pytest
import torch

from spa.testing import check_loss, make_pair_batch
from spa_rubric.loss import SlicLoss
from spa_rubric.loss_config import SlicConfig


@pytest.mark.parametrize("regularization", [0.0, 0.3])
def test_the_formula(regularization: float) -> None:
    batch = make_pair_batch(seed=3)
    found = SlicLoss(SlicConfig(margin=0.7, regularization=regularization))(batch)
    for pair, (chosen, rejected) in enumerate(zip(batch.chosen, batch.rejected, strict=True)):
        average = [
            sum(batch.logprobs[row].double().tolist()) / float(batch.mask[row].sum())
            for row in (chosen, rejected)
        ]
        expected = max(0.0, 0.7 - (average[0] - average[1])) - regularization * average[0]
        assert found.losses[pair].item() == pytest.approx(expected, rel=1e-5)


def test_a_wide_margin_costs_nothing() -> None:
    batch = make_pair_batch(groups=1, responses=2, tokens=1)
    logprobs = torch.full_like(batch.logprobs.detach(), -5.0)
    logprobs[batch.chosen] = -1.0
    batch = type(batch)(**{**batch.__dict__, "logprobs": logprobs})
    found = SlicLoss(SlicConfig(regularization=0))(batch)
    assert found.losses.tolist() == [0.0]
    assert found.metrics["margin"].tolist() == [4.0]


def test_the_loss_keeps_its_contract() -> None:
    report = check_loss(SlicLoss(SlicConfig()))
    report.raise_if_failed()
    assert len(report.checks) == 12
