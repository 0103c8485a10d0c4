"""Losses that are no part of spa, with weights of their own for each pair, train like any other."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import logsigmoid

from spa.api import ComponentConfig, Loss, PairBatch, PairLosses
from spa.components.losses.configs import SimpoConfig, SpaConfig
from spa.components.losses.simpo import SimpoLoss
from spa.components.losses.spa import SpaLoss
from spa.training.outcome import TrainResult

Run = Callable[..., TrainResult]

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")


class WeighedConfig(ComponentConfig):
    """Settings as a plugin declares them."""

    beta: float = 2.5
    gamma: float = 0.5
    first_objective_alone: bool = False


class WeighedLoss:
    """SimPO with a weight for each pair, by what the loss is told about it."""

    needs_reference = False

    def __init__(self, config: WeighedConfig) -> None:
        self.config = config

    def __call__(self, batch: PairBatch) -> PairLosses:
        chosen, rejected = batch.averages[batch.chosen], batch.averages[batch.rejected]
        logits = self.config.beta * (chosen - rejected) - self.config.gamma
        if self.config.first_objective_alone:
            first = batch.scores[:, 0]
            weights = (first[batch.chosen] > first[batch.rejected]).to(logits.dtype)
        else:
            weights = batch.gap_sum / batch.mean_gap_sum
        return PairLosses(losses=-weights * logsigmoid(logits), metrics={"my/weight": weights})


def weights(result: TrainResult) -> dict[str, torch.Tensor]:
    return load_file(result.path / "adapter_model.safetensors")


ONCE: dict[str, Any] = {"batch_pairs": 1000, "epochs": 1}


def test_trap_17_a_loss_of_a_few_lines_weighs_pairs_as_the_built_in_one_does(run: Run) -> None:
    """Whatever the batches and their split: the mean gap is that of the optimizer batch."""
    loss = WeighedLoss(WeighedConfig())
    assert isinstance(loss, Loss)
    settings = {"batch_pairs": 7, "micro_tokens": 24, "two_phase": True}
    mine = run(out="mine", loss=loss, **settings)
    theirs = run(out="theirs", loss=SpaLoss(SpaConfig()), **settings)
    assert mine.steps == theirs.steps > 3
    for own, built_in in zip(mine.history, theirs.history, strict=True):
        for name in ("loss", "grad_norm", "pairs", "logps/chosen"):
            assert own[name] == pytest.approx(built_in[name], rel=1e-5)
        assert own["my/weight"] == pytest.approx(1.0)
    for name, value in weights(theirs).items():
        torch.testing.assert_close(weights(mine)[name], value, rtol=1e-4, atol=1e-4)
    assert "WeighedLoss" in (mine.path / "README.md").read_text()


def test_trap_17_pairs_of_weight_0_take_no_part(run: Run, make: SimpleNamespace) -> None:
    loss = WeighedLoss(WeighedConfig(first_objective_alone=True))
    tied = [
        make.group(f"tied-{i}", "hello", [
            make.scored(f"tied-{i}/a", [5 + i, 6], (4, 9)), make.scored(f"tied-{i}/b", [7], (4, 2)),
        ])
        for i in range(3)
    ]  # fmt: skip
    result = run(groups=tied, loss=loss, **ONCE)
    assert result.history[0]["loss"] == result.history[0]["grad_norm"] == 0
    assert "the gradient was 0 in 1 of 1 steps" in result.warnings[0]
    apart = make.group(
        "p", "hi", [make.scored("p/a", [8, 9], (5, 1)), make.scored("p/b", [10, 11], (3, 1))]
    )
    alone = run(out="alone", groups=[apart], loss=SimpoLoss(SimpoConfig()), **ONCE)
    mixed = run(out="mixed", groups=[*tied, apart], loss=loss, **ONCE)
    assert mixed.history[0]["loss"] == pytest.approx(alone.history[0]["loss"] / 4, rel=1e-5)
    assert mixed.history[0]["my/weight"] == pytest.approx(1 / 4)


def test_trap_17_the_loss_of_an_installed_plugin_trains(run: Run) -> None:
    pytest.importorskip("spa_rubric")
    from spa.plugins.catalogue import build_catalogue

    found = build_catalogue().resolve("loss", "spa-rubric/slic")
    loss = found.load_class()(found.load_config_class()())
    result = run(loss=loss, epochs=6, schedule="constant")
    losses = [entry["loss"] for entry in result.history]
    assert sum(losses[-3:]) < sum(losses[:3])
    assert "hinge" in result.history[0]
    assert result.warnings == ()
