"""Every loss against an independent fp64 computation, with its gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_reference import (
    CHOSEN,
    LENGTHS,
    REJECTED,
    expected,
    log_sigmoid,
    make_batch,
    with_logprobs,
    with_values,
)
from pydantic import ValidationError

from spa.api import Loss
from spa.components.losses.configs import DpoConfig, SftConfig, SimpoConfig, SpaConfig
from spa.components.losses.cpo import CpoLoss
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.hinge import HingeLoss
from spa.components.losses.ipo import IpoLoss
from spa.components.losses.likelihood_configs import CpoConfig, OrpoConfig
from spa.components.losses.orpo import OrpoLoss
from spa.components.losses.ratio_configs import HingeConfig, IpoConfig, WpoConfig
from spa.components.losses.reward_soup import RewardSoupLoss
from spa.components.losses.safedpo import SafeDpoLoss
from spa.components.losses.score_configs import RewardSoupConfig, SafeDpoConfig
from spa.components.losses.sft import SftLoss
from spa.components.losses.simpo import SimpoLoss
from spa.components.losses.spa import SpaLoss, gap_weights, weight_shares
from spa.components.losses.wpo import WpoLoss
from spa.plugins.catalogue import build_catalogue
from spa.testing import check_loss

KINDS: dict[str, tuple[Any, Any]] = {
    "spa": (SpaLoss, SpaConfig),
    "simpo": (SimpoLoss, SimpoConfig),
    "dpo": (DpoLoss, DpoConfig),
    "sft": (SftLoss, SftConfig),
    "ipo": (IpoLoss, IpoConfig),
    "hinge": (HingeLoss, HingeConfig),
    "wpo": (WpoLoss, WpoConfig),
    "cpo": (CpoLoss, CpoConfig),
    "orpo": (OrpoLoss, OrpoConfig),
    "safedpo": (SafeDpoLoss, SafeDpoConfig),
    "reward-soup": (RewardSoupLoss, RewardSoupConfig),
}
# Name, what the recipe says, and what its defaults are besides.
SETTINGS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("spa", {}, {"beta": 2.5, "gamma": 0.5, "alpha": 1.0, "gap": "sum"}),
    ("spa", {"beta": 10.0, "gamma": 1.6, "alpha": 2.0, "gap": "l1"}, {}),
    ("spa", {"beta": 0.3, "gamma": 0.0, "alpha": 0.5, "gap": "sum"}, {}),
    ("simpo", {}, {"beta": 2.5, "gamma": 0.5}),
    ("dpo", {}, {"beta": 0.1, "label_smoothing": 0.0}),
    ("dpo", {"beta": 0.5, "label_smoothing": 0.2}, {}),
    ("sft", {}, {}),
    ("ipo", {}, {"beta": 0.1, "length_normalized": False}),
    ("ipo", {"beta": 0.7, "length_normalized": True}, {}),
    ("hinge", {}, {"beta": 0.1}),
    ("hinge", {"beta": 0.9}, {}),
    ("wpo", {}, {"beta": 0.1, "max_weight": 1.0}),
    ("wpo", {"beta": 0.6, "max_weight": None}, {}),
    ("cpo", {}, {"beta": 0.1, "alpha": 1.0, "label_smoothing": 0.0}),
    ("cpo", {"beta": 0.4, "alpha": 0.25, "label_smoothing": 0.1}, {}),
    ("orpo", {}, {"beta": 0.1}),
    ("orpo", {"beta": 3.0}, {}),
    ("safedpo", {"threshold": 3.5}, {"objective": 0, "beta": 0.1, "delta": 10.0}),
    ("safedpo", {"threshold": 5.5, "objective": 1, "beta": 0.4, "delta": 1.5}, {}),
    ("reward-soup", {"weights": (6, 4)}, {"beta": 2.5, "gamma": 0.5}),
    ("reward-soup", {"weights": (0.1, 0.9), "beta": 1.5, "gamma": 0.0}, {}),
    ("reward-soup", {"weights": (1, 1)}, {"beta": 2.5, "gamma": 0.5}),
]
CASES = [
    pytest.param(
        name, KINDS[name][0](KINDS[name][1](**said)), {**said, **defaults}, id=f"{name}-{place}"
    )
    for place, (name, said, defaults) in enumerate(SETTINGS)
]


def test_every_built_in_loss_is_here() -> None:
    built_in = {each.name for each in build_catalogue("none").components("loss")}
    assert {name for name, _, _ in SETTINGS} == built_in == set(KINDS)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("name", "loss", "settings"), CASES)
def test_values_equal_an_independent_fp64_computation(
    name: str, loss: Loss, settings: dict[str, Any], seed: int
) -> None:
    b = make_batch(seed)
    np.testing.assert_allclose(loss(b).losses.numpy(), expected(name, b, **settings), rtol=1e-12)


@pytest.mark.parametrize(("name", "loss", "settings"), CASES)
def test_gradients_equal_finite_differences_of_the_independent_computation(
    name: str, loss: Loss, settings: dict[str, Any]
) -> None:
    b = make_batch(3)
    logprobs = b.logprobs.clone().requires_grad_()
    loss(with_logprobs(b, logprobs)).losses.sum().backward()
    assert logprobs.grad is not None
    step = 1e-6
    for row, length in enumerate(LENGTHS):
        for column in range(max(LENGTHS)):
            sides = []
            for sign in (1, -1):
                moved = b.logprobs.clone()
                moved[row, column] += sign * step
                sides.append(math.fsum(expected(name, with_logprobs(b, moved), at=b, **settings)))
            numeric = (sides[0] - sides[1]) / (2 * step)
            assert logprobs.grad[row, column].item() == pytest.approx(numeric, rel=1e-6, abs=2e-8)
            if column >= length:
                assert logprobs.grad[row, column].item() == 0.0


@pytest.mark.parametrize(
    "loss",
    # The weights of wpo have no gradient on purpose, which gradcheck would call a fault.
    [pytest.param(case.values[1], id=case.id) for case in CASES if case.values[0] != "wpo"],
)
def test_gradcheck(loss: Loss) -> None:
    b = make_batch(4)
    assert torch.autograd.gradcheck(
        lambda x: loss(with_logprobs(b, x)).losses, (b.logprobs.clone().requires_grad_(),)
    )


@pytest.mark.parametrize(("name", "loss", "settings"), CASES)
def test_every_loss_keeps_its_contract(name: str, loss: Loss, settings: dict[str, Any]) -> None:
    report = check_loss(loss)
    report.raise_if_failed()
    assert len(report.checks) == 12


@pytest.mark.parametrize(("name", "loss", "settings"), CASES)
def test_one_value_a_pair_and_detached_metrics(
    name: str, loss: Loss, settings: dict[str, Any]
) -> None:
    b = make_batch()
    result = loss(with_logprobs(b, b.logprobs.clone().requires_grad_()))
    assert result.losses.shape == (len(CHOSEN),)
    assert result.losses.requires_grad
    for metric in result.metrics.values():
        assert metric.shape == (len(CHOSEN),)
        assert not metric.requires_grad
    rewards = {f"rewards/{each}" for each in ("chosen", "rejected", "margins", "accuracies")}
    assert rewards <= result.metrics.keys() or name == "sft"


@pytest.mark.parametrize(("name", "loss", "settings"), CASES)
def test_what_a_loss_needs_is_what_it_uses(name: str, loss: Loss, settings: dict[str, Any]) -> None:
    assert isinstance(loss, Loss)
    assert loss.needs_reference == (name in {"dpo", "ipo", "hinge", "wpo", "safedpo"})
    assert getattr(loss, "needs_collision", False) == (name == "wpo")
    for field, needed, message in [
        ("reference", loss.needs_reference, "no reference log-probabilities"),
        ("collision", name == "wpo", "no collision log-probabilities"),
    ]:
        without = with_values(make_batch(), **{f"{field}_logprobs": None})
        if needed:
            said = f"this batch has {message}: set needs_{field} = True on the loss"
            with pytest.raises(ValueError, match=f"^{said}$"):
                loss(without)
        else:
            loss(without)


@pytest.mark.parametrize(("name", "loss", "settings"), CASES)
def test_trap_02_only_response_tokens_count(
    name: str, loss: Loss, settings: dict[str, Any]
) -> None:
    """What stands in padded columns changes nothing."""
    b = make_batch()
    noise = {
        field: torch.where(b.mask.bool(), getattr(b, field), -77.0)
        for field in ("logprobs", "reference_logprobs", "collision_logprobs")
    }
    torch.testing.assert_close(loss(with_values(b, **noise)).losses, loss(b).losses)


def test_dpo_at_the_reference_is_log_two() -> None:
    b = make_batch()
    at_reference = with_values(b, reference_logprobs=b.logprobs)
    np.testing.assert_allclose(DpoLoss(DpoConfig())(at_reference).losses.numpy(), math.log(2))


def test_trap_08_gamma_is_absolute_and_logged_in_both_conventions() -> None:
    b = make_batch()
    for beta in (1.0, 10.0):
        flat = with_logprobs(b, torch.zeros_like(b.logprobs))
        result = SimpoLoss(SimpoConfig(beta=beta, gamma=0.7))(flat)
        np.testing.assert_allclose(result.losses.numpy(), -log_sigmoid(-0.7))
        assert result.metrics["gamma"].tolist() == pytest.approx([0.7] * 4)
        assert result.metrics["gamma/beta"].tolist() == pytest.approx([0.7 / beta] * 4)


def test_trap_09_simpo_adds_no_likelihood_term() -> None:
    """Adding a constant to every average log-probability leaves the loss as it is."""
    b = make_batch()
    shifted = with_logprobs(b, (b.logprobs - 1.0) * b.mask)
    loss = SimpoLoss(SimpoConfig())
    torch.testing.assert_close(loss(shifted).losses, loss(b).losses)


def test_spa_without_differences_in_gap_is_simpo() -> None:
    b = make_batch()
    same = with_values(b, gap_sum=torch.full_like(b.gap_sum, 3.0), mean_gap_sum=3.0)
    torch.testing.assert_close(
        SpaLoss(SpaConfig())(same).losses, SimpoLoss(SimpoConfig())(same).losses
    )


def test_mean_gap_zero_gives_weights_one() -> None:
    b = make_batch()
    zero = with_values(b, gap_sum=torch.zeros_like(b.gap_sum), mean_gap_sum=0.0)
    result = SpaLoss(SpaConfig())(zero)
    torch.testing.assert_close(result.losses, SimpoLoss(SimpoConfig())(zero).losses)
    assert result.metrics["weight"].tolist() == [1.0] * 4


@pytest.mark.parametrize("alpha", [0.1, 1.0, 3.0])
def test_gap_zero_gives_weight_zero(alpha: float) -> None:
    assert gap_weights(torch.tensor([0.0, 2.0]), 1.0, alpha).tolist() == pytest.approx(
        [0.0, 2.0**alpha]
    )
    b = make_batch()
    gaps = torch.tensor([0.0, 1.0, 2.0, 5.0], dtype=torch.float64)
    result = SpaLoss(SpaConfig(alpha=alpha))(with_values(b, gap_sum=gaps, mean_gap_sum=2.0))
    assert result.losses[0] == 0
    assert result.metrics["weight/share_0"].tolist() == [1, 0, 0, 0]


def test_every_weight_is_in_one_share() -> None:
    weights = torch.tensor([0.0, 1e-9, 0.999, 1.0, 1.5, 2.0, 2.001, 50.0], dtype=torch.float64)
    assert {name: share.tolist() for name, share in weight_shares(weights).items()} == {
        "weight/share_0": [1, 0, 0, 0, 0, 0, 0, 0],
        "weight/share_below_1": [0, 1, 1, 0, 0, 0, 0, 0],
        "weight/share_1_to_2": [0, 0, 0, 1, 1, 1, 0, 0],
        "weight/share_above_2": [0, 0, 0, 0, 0, 0, 1, 1],
    }


@given(
    gaps=st.lists(st.floats(0, 100).filter(lambda g: g == 0 or g > 1e-3), min_size=1, max_size=20),
    alpha=st.floats(0.1, 4),
)
def test_weights_are_not_negative_and_average_to_one_for_alpha_one(
    gaps: list[float], alpha: float
) -> None:
    values = torch.tensor(gaps, dtype=torch.float64)
    mean_gap = math.fsum(gaps) / len(gaps)
    assert gap_weights(values, mean_gap, 1.0).mean().item() == pytest.approx(1.0)
    weights = gap_weights(values, mean_gap, alpha)
    assert bool((weights >= 0).all())
    assert bool(torch.isfinite(weights).all())
    order = values.argsort(stable=True)
    assert bool((weights[order].diff() >= 0).all())


def test_sft_keep_counts_a_response_once_a_pair_and_once_shares_it() -> None:
    b = make_batch()
    average = -b.averages
    keep, once = SftLoss(SftConfig())(b), SftLoss(SftConfig(repeats="once"))(b)
    torch.testing.assert_close(keep.losses, average[list(CHOSEN)])
    torch.testing.assert_close(
        once.losses, average[list(CHOSEN)] * torch.tensor([0.5, 0.5, 1.0, 1.0])
    )
    torch.testing.assert_close(once.losses.sum(), average[[0, 1, 3]].sum())


def test_metrics_have_the_names_of_trl() -> None:
    b = make_batch()
    metrics = SpaLoss(SpaConfig())(b).metrics
    rewards = 2.5 * b.averages
    torch.testing.assert_close(metrics["rewards/chosen"], rewards[list(CHOSEN)])
    torch.testing.assert_close(metrics["rewards/rejected"], rewards[list(REJECTED)])
    torch.testing.assert_close(
        metrics["rewards/margins"], rewards[list(CHOSEN)] - rewards[list(REJECTED)]
    )
    assert metrics["rewards/accuracies"].tolist() == [
        float(rewards[c] > rewards[r]) for c, r in zip(CHOSEN, REJECTED, strict=True)
    ]


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (SpaConfig, {"alpha": 0}),
        (SpaConfig, {"gap": "mean"}),
        (SimpoConfig, {"beta": 0}),
        (SimpoConfig, {"alpha": 1.0}),
        (DpoConfig, {"label_smoothing": 0.5}),
        (SftConfig, {"repeats": "twice"}),
    ],
)
def test_bad_settings_are_refused(config: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**values)


@pytest.mark.parametrize(
    "module", ["configs", "likelihood_configs", "ratio_configs", "score_configs"]
)
def test_configs_need_no_torch(module: str) -> None:
    import subprocess
    import sys

    code = (
        f"import sys, spa.components.losses.{module};"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
