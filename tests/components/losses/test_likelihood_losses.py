"""Limits of the losses that add the likelihood of the chosen response: cpo and orpo."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_reference import CHOSEN, make_batch, with_logprobs, with_values
from pydantic import ValidationError

from spa.components.losses.configs import DpoConfig, SftConfig
from spa.components.losses.cpo import CpoLoss
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.likelihood_configs import CpoConfig, OrpoConfig
from spa.components.losses.orpo import OrpoLoss, log_odds
from spa.components.losses.sft import SftLoss


def test_cpo_without_likelihood_is_dpo_against_a_uniform_reference() -> None:
    b = make_batch()
    uniform = with_values(b, reference_logprobs=torch.zeros_like(b.logprobs))
    for smoothing in (0.0, 0.2):
        cpo = CpoLoss(CpoConfig(beta=0.3, alpha=0, label_smoothing=smoothing))
        dpo = DpoLoss(DpoConfig(beta=0.3, label_smoothing=smoothing))
        torch.testing.assert_close(cpo(b).losses, dpo(uniform).losses)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_cpo_adds_alpha_times_the_likelihood_of_the_chosen_response(alpha: float) -> None:
    b = make_batch()
    likelihood = SftLoss(SftConfig())(b).losses
    whole, plain = CpoLoss(CpoConfig(alpha=alpha))(b), CpoLoss(CpoConfig(alpha=0))(b)
    torch.testing.assert_close(whole.losses, plain.losses + alpha * likelihood)
    torch.testing.assert_close(whole.metrics["nll_loss"], likelihood)


def test_orpo_of_equal_responses_is_likelihood_and_log_2() -> None:
    b = make_batch()
    level = with_logprobs(b, -0.7 * b.mask)
    result = OrpoLoss(OrpoConfig(beta=0.4))(level)
    np.testing.assert_allclose(result.losses.numpy(), 0.7 + 0.4 * math.log(2))
    np.testing.assert_allclose(result.metrics["log_odds_chosen"].numpy(), 0, atol=1e-15)
    np.testing.assert_allclose(result.metrics["log_odds_ratio"].numpy(), -math.log(2))
    np.testing.assert_allclose(result.metrics["nll_loss"].numpy(), 0.7)


def test_orpo_rewards_are_beta_times_the_averages() -> None:
    b = make_batch()
    metrics = OrpoLoss(OrpoConfig(beta=0.4))(b).metrics
    torch.testing.assert_close(metrics["rewards/chosen"], 0.4 * b.averages[list(CHOSEN)])


@pytest.mark.parametrize("log", [-1e-12, -1e-6, -0.1, -math.log(2), -0.7, -3.0, -40.0, -700.0])
def test_log_odds_are_exact(log: float) -> None:
    """Against the series of 1 - exp(x) in whole fractions where x is small, else logarithms."""
    if log > -0.01:
        x = Fraction(log)
        rest = -sum(x**n / math.factorial(n) for n in range(1, 12))
        wanted = log - math.log(rest)
    else:
        wanted = log - math.log1p(-math.exp(log))
    found = log_odds(torch.tensor([log], dtype=torch.float64)).item()
    assert found == pytest.approx(wanted, rel=1e-13, abs=1e-15)


@given(st.lists(st.floats(-50, -1e-12), min_size=2, max_size=9))
def test_log_odds_rise_with_the_probability(logs: list[float]) -> None:
    odds = log_odds(torch.tensor(sorted(logs), dtype=torch.float64))
    assert bool((odds.diff() >= -1e-12).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("likely", ["chosen", "rejected", "both"])
@pytest.mark.parametrize("log", [0.0, -1e-30, -1e-9, -1e-7, -1e-4])
def test_orpo_of_very_likely_responses_is_finite(
    dtype: torch.dtype, likely: str, log: float
) -> None:
    """An average log-probability of 0 means infinite odds; infinity less infinity is NaN."""
    b = make_batch(dtype=dtype)
    pair = with_values(
        b,
        chosen=torch.tensor([0]),
        rejected=torch.tensor([1]),
        logprobs=b.logprobs.clone(),
    )
    rows = {"chosen": [0], "rejected": [1], "both": [0, 1]}[likely]
    pair.logprobs[rows] = log * pair.mask[rows]
    pair.logprobs.requires_grad_()
    result = OrpoLoss(OrpoConfig())(pair)
    (gradient,) = torch.autograd.grad(result.losses.sum(), pair.logprobs)
    assert bool(torch.isfinite(result.losses).all())
    assert bool(torch.isfinite(gradient).all())
    assert all(bool(torch.isfinite(values).all()) for values in result.metrics.values())
    if likely == "chosen":
        assert result.losses.item() == pytest.approx(-log, abs=1e-3), "nothing is left to learn"
    elif likely == "rejected":
        assert result.losses.item() > -pair.averages[0].item() + 0.1 * -math.log(1e-4) / 2
    else:
        assert result.losses.item() == pytest.approx(-log + 0.1 * math.log(2), rel=1e-3)


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (CpoConfig, {"beta": 0}),
        (CpoConfig, {"alpha": -1}),
        (CpoConfig, {"label_smoothing": 0.5}),
        (OrpoConfig, {"beta": 0}),
        (OrpoConfig, {"alpha": 1}),
    ],
)
def test_bad_settings_are_refused(config: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**values)
