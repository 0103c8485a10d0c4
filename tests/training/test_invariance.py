"""The optimizer step is the same however a batch is laid out, split and sent through the model.

From recipe settings to saved weights. AdamW's first step has the size of the learning rate whatever
that of the gradient, so a gradient of rounding noise would move a weight as far as a real one. Here
it is exchanged for plain gradient descent at rate 1: what weights moved by is the gradient itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainingArguments

from spa.components.losses.configs import DpoConfig, SftConfig, SpaConfig
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.likelihood_configs import OrpoConfig
from spa.components.losses.orpo import OrpoLoss
from spa.components.losses.ratio_configs import WpoConfig
from spa.components.losses.sft import SftLoss
from spa.components.losses.spa import SpaLoss
from spa.components.losses.wpo import WpoLoss
from spa.contracts import Loss
from spa.models.spec import ModelSpec
from spa.recipe.sections import LoraSettings
from spa.training import fit
from spa.training.encoding import encode
from spa.training.micro_batches import Budget, plan_micro_batches
from spa.training.outcome import TrainResult

Run = Callable[..., TrainResult]

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")

SPLIT = 24
"""Tokens that most groups exceed by themselves."""
ROUNDING = 2.0**-22
"""Of a weight below 4 in fp32."""
LOSSES = {
    "spa": SpaLoss(SpaConfig(alpha=2.0)),
    "dpo": DpoLoss(DpoConfig()),
    "wpo": WpoLoss(WpoConfig()),
    "orpo": OrpoLoss(OrpoConfig()),
    "sft": SftLoss(SftConfig()),
}
EVERY = [
    {"packing": "dense", "micro_tokens": 10_000},
    {"packing": "none", "micro_tokens": 10_000},
    {"micro_tokens": 1},
    {"micro_tokens": 60},
    {"packing": "none", "micro_tokens": 60},
    {"micro_groups": 1},
    {"micro_groups": 2},
    {"micro_tokens": SPLIT, "two_phase": True},
    {"packing": "dense", "micro_tokens": 1, "two_phase": True},
    {"gradient_checkpointing": True},
    {"packing": "none", "micro_tokens": SPLIT, "two_phase": True, "gradient_checkpointing": True},
]
SOME = [
    {"packing": "dense", "micro_tokens": 60, "micro_groups": 2},
    {"packing": "none", "micro_tokens": SPLIT, "two_phase": True, "gradient_checkpointing": True},
]
LORA = LoraSettings(r=4)


@pytest.fixture
def step(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """One step of plain gradient descent at rate 1 on all pairs."""

    def plain(**given: Any) -> TrainingArguments:
        return TrainingArguments(**{**given, "optim": "sgd"})

    monkeypatch.setattr(fit, "TrainingArguments", plain)
    settings = {
        "batch_pairs": 1000,
        "epochs": 1,
        "learning_rate": 1.0,
        "schedule": "constant",
        "max_grad_norm": 1e9,
    }

    def start(**more: Any) -> TrainResult:
        return run(**{**settings, **more})

    return start


def moved(result: TrainResult, spec: ModelSpec) -> torch.Tensor:
    """All saved weights in one row; of full fine-tuning what they moved by."""
    name = "adapter_model.safetensors" if result.kind == "adapter" else "model.safetensors"
    after = load_file(result.path / name)
    before = load_file(Path(spec.path) / "model.safetensors") if result.kind == "full" else {}
    return torch.cat(
        [(after[key] - before.get(key, 0)).double().flatten() for key in sorted(after)]
    )


def check(step: Run, spec: ModelSpec, loss: Loss, lora: Any, cases: list[dict[str, Any]]) -> None:
    plain = step(out="plain", loss=loss, lora=lora, micro_tokens=10_000)
    assert plain.layout == "segments"
    wanted = moved(plain, spec)
    assert plain.history[0]["grad_norm"] > 1e-3
    for number, settings in enumerate(cases):
        other = step(out=f"other-{number}", loss=loss, lora=lora, **settings)
        assert other.layout == {"dense": "dense", "none": "a row for each response"}.get(
            settings.get("packing", ""), "segments"
        )
        (mine,), (theirs,) = other.history, plain.history
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert mine[name] == pytest.approx(value, rel=1e-5, abs=1e-6), (settings, name)
        error = moved(other, spec) - wanted
        assert error.norm() <= 1e-5 * wanted.norm(), settings
        assert error.abs().max() <= 1e-5 * wanted.abs().max() + ROUNDING, settings


def test_every_way_through_the_model_gives_the_same_step(step: Run, spec: ModelSpec) -> None:
    check(step, spec, LOSSES["spa"], None, EVERY)


@pytest.mark.parametrize(
    ("name", "lora"),
    [("spa", LORA), ("dpo", LORA), ("dpo", None), ("wpo", None), ("orpo", LORA), ("sft", None)],
    ids=lambda value: "lora" if value == LORA else value or "full",
)
def test_every_kind_of_loss_gets_the_same_step(
    step: Run, spec: ModelSpec, name: str, lora: LoraSettings | None
) -> None:
    """With a reference, with collision probabilities, with terms that are no margins."""
    check(step, spec, LOSSES[name], lora, SOME)


def test_the_settings_above_do_split_groups_and_batches(
    make: SimpleNamespace, tokenizer: Any
) -> None:
    groups = encode(make.random_groups(6), make.objectives, tokenizer).groups
    for packed in (True, False):
        split = plan_micro_batches(groups, Budget(SPLIT, packed=packed, split=True))
        assert sum(len(each.passes) > 1 for each in split) >= 3
        assert 1 < len(plan_micro_batches(groups, Budget(60, packed=packed))) <= len(groups)
    together = plan_micro_batches(groups, Budget(60))
    assert any(len(each.groups) > 1 for each in together)
    assert len(plan_micro_batches(groups, Budget(10_000))) == 1


def test_adamw_too_takes_the_same_steps(run: Run, spec: ModelSpec) -> None:
    """Several steps at a real learning rate; a weight may differ by what rounding moves it."""
    settings = {"learning_rate": 1e-3, "batch_pairs": 6, "epochs": 2}
    plain = run(out="plain", **settings)
    other = run(out="other", packing="none", micro_tokens=SPLIT, two_phase=True, **settings)
    for mine, theirs in zip(other.history, plain.history, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
    found, wanted = moved(other, spec), moved(plain, spec)
    assert (found - wanted).norm() <= 1e-3 * wanted.norm()
