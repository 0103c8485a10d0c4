"""Limits of the losses on log ratios to the reference: ipo, hinge and wpo."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from loss_reference import make_batch, with_logprobs, with_values, wpo_weights
from pydantic import ValidationError

from spa.api import PairBatch, PairLosses
from spa.components.losses.configs import DpoConfig
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.hinge import HingeLoss
from spa.components.losses.ipo import IpoLoss
from spa.components.losses.ratio_configs import HingeConfig, IpoConfig, WpoConfig
from spa.components.losses.wpo import WpoLoss, policy_weights


def at_reference() -> PairBatch:
    b = make_batch()
    return with_values(b, logprobs=b.reference_logprobs)


def one_pair(margin: float, tokens: int = 1) -> PairBatch:
    """Two responses whose log ratios differ by ``margin``, all of it in the chosen one."""
    mask = torch.ones((2, tokens), dtype=torch.float64)
    reference = torch.full_like(mask, -40.0)
    logprobs = reference.clone()
    logprobs[0] += margin / tokens
    return PairBatch(
        logprobs=logprobs.requires_grad_(),
        mask=mask,
        chosen=torch.tensor([0]),
        rejected=torch.tensor([1]),
        scores=torch.zeros((2, 1)),
        gap_sum=torch.ones(1),
        gap_l1=torch.ones(1),
        mean_gap_sum=1.0,
        mean_gap_l1=1.0,
        reference_logprobs=reference,
        collision_logprobs=torch.zeros_like(mask),
    )


def value_and_gradient(result: PairLosses, batch: PairBatch) -> tuple[float, torch.Tensor]:
    (gradient,) = torch.autograd.grad(result.losses.sum(), batch.logprobs)
    return result.losses.item(), gradient


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_ipo_at_the_reference_has_the_whole_way_to_go(beta: float) -> None:
    losses = IpoLoss(IpoConfig(beta=beta))(at_reference()).losses
    np.testing.assert_allclose(losses.numpy(), 1 / (4 * beta**2))


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_ipo_is_0_at_its_target_and_grows_on_both_sides(beta: float) -> None:
    loss = IpoLoss(IpoConfig(beta=beta))
    target = one_pair(1 / (2 * beta))
    value, gradient = value_and_gradient(loss(target), target)
    assert value == pytest.approx(0, abs=1e-20)
    assert gradient.abs().max().item() == pytest.approx(0, abs=1e-10)
    assert loss(target).metrics["rewards/margins"].tolist() == pytest.approx([0.5])
    for way in (-1, 1):
        off = one_pair(1 / (2 * beta) + way * 0.3)
        value, gradient = value_and_gradient(loss(off), off)
        assert value == pytest.approx(0.09)
        assert gradient.flatten().tolist() == pytest.approx([way * 0.6, -way * 0.6])


def test_ipo_divided_by_length_is_the_same_for_repeated_tokens() -> None:
    """Three times the tokens with the same ratios: sums triple, means stay."""
    divided, summed = IpoLoss(IpoConfig(length_normalized=True)), IpoLoss(IpoConfig())
    one, three = one_pair(2.0), one_pair(6.0, tokens=3)
    assert divided(three).losses.item() == pytest.approx(divided(one).losses.item())
    assert divided(one).losses.item() == pytest.approx(summed(one).losses.item()) == 9.0
    assert summed(three).losses.item() == pytest.approx(1.0)


def test_hinge_at_the_reference_is_1() -> None:
    np.testing.assert_allclose(HingeLoss(HingeConfig())(at_reference()).losses.numpy(), 1.0)


@pytest.mark.parametrize(
    ("margin", "value", "slope"), [(-3.0, 2.5, -0.5), (1.9, 0.05, -0.5), (2.1, 0, 0), (90, 0, 0)]
)
def test_hinge_costs_in_proportion_and_then_nothing(
    margin: float, value: float, slope: float
) -> None:
    batch = one_pair(margin)
    found, gradient = value_and_gradient(HingeLoss(HingeConfig(beta=0.5))(batch), batch)
    assert found == pytest.approx(value)
    assert gradient.flatten().tolist() == pytest.approx([slope, -slope])


def test_wpo_of_what_the_policy_would_sample_is_dpo() -> None:
    b = make_batch()
    sampled = with_values(b, collision_logprobs=b.logprobs)
    result = WpoLoss(WpoConfig())(sampled)
    torch.testing.assert_close(result.losses, DpoLoss(DpoConfig())(sampled).losses)
    torch.testing.assert_close(result.metrics["weight"], torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("limit", [None, 1.0, 0.4])
def test_wpo_weights_are_limited(limit: float | None) -> None:
    b = make_batch(0)
    free = wpo_weights(b, None)
    assert min(free) < 0.4, "the limits spare some pairs"
    assert max(free) > 1, "and bite in others"
    assert policy_weights(b, limit).tolist() == pytest.approx(wpo_weights(b, limit))
    result = WpoLoss(WpoConfig(max_weight=limit))(b)
    assert result.metrics["weight"].tolist() == pytest.approx(wpo_weights(b, limit))


def test_wpo_weights_have_no_gradient() -> None:
    b = make_batch(2)
    gradients = []
    for loss, weights in [
        (WpoLoss(WpoConfig()), torch.ones(4)),
        (DpoLoss(DpoConfig()), torch.tensor(wpo_weights(b, 1.0))),
    ]:
        logprobs = b.logprobs.clone().requires_grad_()
        losses = loss(with_logprobs(b, logprobs)).losses
        gradients.append(torch.autograd.grad((losses * weights).sum(), logprobs)[0])
    torch.testing.assert_close(*gradients)


def test_wpo_ignores_a_gradient_that_collision_logprobs_carry_by_mistake() -> None:
    b = make_batch()
    assert b.collision_logprobs is not None
    assert not policy_weights(
        with_values(b, collision_logprobs=b.collision_logprobs.clone().requires_grad_())
    ).requires_grad


def test_wpo_of_a_response_that_became_impossible_is_0_and_finite() -> None:
    b = make_batch(dtype=torch.float32)
    logprobs = (b.logprobs - 1e4 * b.mask).requires_grad_()
    losses = WpoLoss(WpoConfig())(with_logprobs(b, logprobs)).losses
    assert losses.tolist() == [0, 0, 0, 0]
    (gradient,) = torch.autograd.grad(losses.sum(), logprobs)
    assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (IpoConfig, {"beta": 0}),
        (IpoConfig, {"beta": float("inf")}),
        (HingeConfig, {"beta": -1}),
        (WpoConfig, {"beta": 0}),
        (WpoConfig, {"max_weight": 0}),
        (WpoConfig, {"label_smoothing": 0.1}),
    ],
)
def test_bad_settings_are_refused(config: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**values)
