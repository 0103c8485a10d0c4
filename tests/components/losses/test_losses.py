"""Every loss against an independent fp64 computation, with its gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spa.api import Loss, PairBatch
from spa.components.losses.configs import DpoConfig, SftConfig, SimpoConfig, SpaConfig
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.sft import SftLoss
from spa.components.losses.simpo import SimpoLoss
from spa.components.losses.spa import SpaLoss, gap_weights

LENGTHS = (3, 5, 1, 4)
CHOSEN = (0, 0, 1, 3)
REJECTED = (1, 2, 2, 0)
SCORES = ((9.0, 5.0), (8.0, 6.0), (3.0, 2.0), (9.5, 7.25))


def batch(seed: int = 0, reference: bool = True, dtype: torch.dtype = torch.float64) -> PairBatch:
    rng = np.random.default_rng(seed)
    mask = np.array([[float(t < n) for t in range(max(LENGTHS))] for n in LENGTHS])
    chosen, rejected, scores = np.array(CHOSEN), np.array(REJECTED), np.array(SCORES)
    difference = scores[chosen] - scores[rejected]
    gap_sum, gap_l1 = np.abs(difference.sum(1)), np.abs(difference).sum(1)
    return PairBatch(
        logprobs=torch.tensor(-rng.exponential(2.0, mask.shape) * mask, dtype=dtype),
        mask=torch.tensor(mask, dtype=dtype),
        chosen=torch.tensor(chosen),
        rejected=torch.tensor(rejected),
        scores=torch.tensor(scores, dtype=dtype),
        gap_sum=torch.tensor(gap_sum, dtype=dtype),
        gap_l1=torch.tensor(gap_l1, dtype=dtype),
        mean_gap_sum=float(gap_sum.mean()),
        mean_gap_l1=float(gap_l1.mean()),
        reference_logprobs=torch.tensor(-rng.exponential(2.0, mask.shape) * mask, dtype=dtype)
        if reference
        else None,
    )


def with_logprobs(base: PairBatch, logprobs: torch.Tensor) -> PairBatch:
    return PairBatch(**{**vars(base), "logprobs": logprobs})


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def mean(row: Any, length: int) -> float:
    return math.fsum(row[:length]) / length


def expected(name: str, b: PairBatch, **s: Any) -> list[float]:
    """Method.md step 6 and the DPO paper, written out pair by pair with Python floats."""
    logp = b.logprobs.tolist()
    out = []
    for i, (c, r) in enumerate(zip(CHOSEN, REJECTED, strict=True)):
        if name == "sft":
            out.append(-mean(logp[c], LENGTHS[c]))
        elif name == "dpo":
            assert b.reference_logprobs is not None
            ref = b.reference_logprobs.tolist()
            ratio_c = math.fsum(logp[c][: LENGTHS[c]]) - math.fsum(ref[c][: LENGTHS[c]])
            ratio_r = math.fsum(logp[r][: LENGTHS[r]]) - math.fsum(ref[r][: LENGTHS[r]])
            m = s["beta"] * (ratio_c - ratio_r)
            e = s["label_smoothing"]
            out.append(-(1 - e) * log_sigmoid(m) - e * log_sigmoid(-m))
        else:
            m = s["beta"] * mean(logp[c], LENGTHS[c]) - s["beta"] * mean(logp[r], LENGTHS[r])
            loss = -log_sigmoid(m - s["gamma"])
            if name == "spa":
                gaps = [
                    abs(sum(SCORES[x]) - sum(SCORES[y]))
                    if s["gap"] == "sum"
                    else sum(abs(p - q) for p, q in zip(SCORES[x], SCORES[y], strict=True))
                    for x, y in zip(CHOSEN, REJECTED, strict=True)
                ]
                loss *= (gaps[i] / (math.fsum(gaps) / len(gaps))) ** s["alpha"]
            out.append(loss)
    return out


CASES: list[tuple[str, Loss, dict[str, Any]]] = [
    (name, make(config), settings)
    for name, make, config, settings in [
        ("spa", SpaLoss, SpaConfig(), {"beta": 2.5, "gamma": 0.5, "alpha": 1.0, "gap": "sum"}),
        *[
            ("spa", SpaLoss, SpaConfig(**s), s)  # type: ignore[arg-type]
            for s in (
                {"beta": 10.0, "gamma": 1.6, "alpha": 2.0, "gap": "l1"},
                {"beta": 0.3, "gamma": 0.0, "alpha": 0.5, "gap": "sum"},
            )
        ],
        ("simpo", SimpoLoss, SimpoConfig(), {"beta": 2.5, "gamma": 0.5}),
        ("dpo", DpoLoss, DpoConfig(), {"beta": 0.1, "label_smoothing": 0.0}),
        (
            "dpo",
            DpoLoss,
            DpoConfig(beta=0.5, label_smoothing=0.2),
            {"beta": 0.5, "label_smoothing": 0.2},
        ),
        ("sft", SftLoss, SftConfig(), {}),
    ]
]
IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)]
LOSSES = [loss for _, loss, _ in CASES]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("name", "loss", "settings"), CASES, ids=IDS)
def test_values_equal_an_independent_fp64_computation(
    name: str, loss: Loss, settings: dict[str, Any], seed: int
) -> None:
    b = batch(seed)
    np.testing.assert_allclose(loss(b).losses.numpy(), expected(name, b, **settings), rtol=1e-12)


@pytest.mark.parametrize(("name", "loss", "settings"), CASES, ids=IDS)
def test_gradients_equal_finite_differences_of_the_independent_computation(
    name: str, loss: Loss, settings: dict[str, Any]
) -> None:
    b = batch(3)
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
                sides.append(math.fsum(expected(name, with_logprobs(b, moved), **settings)))
            numeric = (sides[0] - sides[1]) / (2 * step)
            assert logprobs.grad[row, column].item() == pytest.approx(numeric, rel=1e-6, abs=1e-8)
            if column >= length:
                assert logprobs.grad[row, column].item() == 0.0


@pytest.mark.parametrize("loss", LOSSES, ids=IDS)
def test_gradcheck(loss: Loss) -> None:
    b = batch(4)
    assert torch.autograd.gradcheck(
        lambda x: loss(with_logprobs(b, x)).losses, (b.logprobs.clone().requires_grad_(),)
    )


@pytest.mark.parametrize("loss", LOSSES, ids=IDS)
def test_one_value_a_pair_and_detached_metrics(loss: Loss) -> None:
    b = batch()
    result = loss(with_logprobs(b, b.logprobs.clone().requires_grad_()))
    assert result.losses.shape == (len(CHOSEN),)
    assert result.losses.requires_grad
    for metric in result.metrics.values():
        assert metric.shape == (len(CHOSEN),)
        assert not metric.requires_grad


@pytest.mark.parametrize("loss", LOSSES, ids=IDS)
def test_only_dpo_needs_a_reference(loss: Loss) -> None:
    assert isinstance(loss, Loss)
    assert loss.needs_reference == isinstance(loss, DpoLoss)
    if not loss.needs_reference:
        loss(batch(reference=False))
        return
    with pytest.raises(ValueError, match="no reference log-probabilities"):
        loss(batch(reference=False))


def test_dpo_at_the_reference_is_log_two() -> None:
    b = batch()
    at_reference = PairBatch(**{**vars(b), "reference_logprobs": b.logprobs})
    np.testing.assert_allclose(DpoLoss(DpoConfig())(at_reference).losses.numpy(), math.log(2))


def test_trap_02_only_response_tokens_are_averaged() -> None:
    """What stands in padded columns changes nothing."""
    b = batch()
    noise = torch.where(b.mask.bool(), b.logprobs, torch.full_like(b.logprobs, -77.0))
    for loss in (
        SpaLoss(SpaConfig()),
        SimpoLoss(SimpoConfig()),
        DpoLoss(DpoConfig()),
        SftLoss(SftConfig()),
    ):
        torch.testing.assert_close(loss(with_logprobs(b, noise)).losses, loss(b).losses)


def test_trap_08_gamma_is_absolute_and_logged_in_both_conventions() -> None:
    b = batch()
    for beta in (1.0, 10.0):
        flat = with_logprobs(b, torch.zeros_like(b.logprobs))
        result = SimpoLoss(SimpoConfig(beta=beta, gamma=0.7))(flat)
        np.testing.assert_allclose(result.losses.numpy(), -log_sigmoid(-0.7))
        assert result.metrics["gamma"].tolist() == pytest.approx([0.7] * 4)
        assert result.metrics["gamma/beta"].tolist() == pytest.approx([0.7 / beta] * 4)


def test_trap_09_simpo_adds_no_likelihood_term() -> None:
    """Adding a constant to every average log-probability leaves the loss as it is."""
    b = batch()
    shifted = with_logprobs(b, (b.logprobs - 1.0) * b.mask)
    loss = SimpoLoss(SimpoConfig())
    torch.testing.assert_close(loss(shifted).losses, loss(b).losses)


def test_spa_without_differences_in_gap_is_simpo() -> None:
    b = batch()
    same = PairBatch(**{**vars(b), "gap_sum": torch.full_like(b.gap_sum, 3.0), "mean_gap_sum": 3.0})
    torch.testing.assert_close(
        SpaLoss(SpaConfig())(same).losses, SimpoLoss(SimpoConfig())(same).losses
    )


def test_mean_gap_zero_gives_weights_one() -> None:
    b = batch()
    zero = PairBatch(**{**vars(b), "gap_sum": torch.zeros_like(b.gap_sum), "mean_gap_sum": 0.0})
    result = SpaLoss(SpaConfig())(zero)
    torch.testing.assert_close(result.losses, SimpoLoss(SimpoConfig())(zero).losses)
    assert result.metrics["weight"].tolist() == [1.0] * 4


@pytest.mark.parametrize("alpha", [0.1, 1.0, 3.0])
def test_gap_zero_gives_weight_zero(alpha: float) -> None:
    assert gap_weights(torch.tensor([0.0, 2.0]), 1.0, alpha).tolist() == pytest.approx(
        [0.0, 2.0**alpha]
    )
    b = batch()
    gaps = torch.tensor([0.0, 1.0, 2.0, 5.0], dtype=torch.float64)
    result = SpaLoss(SpaConfig(alpha=alpha))(
        PairBatch(**{**vars(b), "gap_sum": gaps, "mean_gap_sum": 2.0})
    )
    assert result.losses[0] == 0
    assert result.metrics["weight/zero_share"].tolist() == [1, 0, 0, 0]


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
    b = batch()
    average = -b.averages
    keep, once = SftLoss(SftConfig())(b), SftLoss(SftConfig(repeats="once"))(b)
    torch.testing.assert_close(keep.losses, average[list(CHOSEN)])
    torch.testing.assert_close(
        once.losses, average[list(CHOSEN)] * torch.tensor([0.5, 0.5, 1.0, 1.0])
    )
    torch.testing.assert_close(once.losses.sum(), average[[0, 1, 3]].sum())


def test_metrics_have_the_names_of_trl() -> None:
    b = batch()
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


def test_configs_need_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, spa.components.losses.configs;"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
