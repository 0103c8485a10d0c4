"""One optimizer step of spa: `spa.training.run.train`, as a run calls it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from spa.components.losses.configs import SimpoConfig
from spa.components.losses.simpo import SimpoLoss
from spa.models.loading import load_tokenizer
from spa.models.spec import ModelSpec
from spa.recipe.sections import TrainConfig
from spa.training import fit
from spa.training.batching import OptimizerBatch
from spa.training.layout import whole
from spa.training.run import train
from spa.training.trainer import PreferenceTrainer
from spa.training.workload import Workload
from train.clock import StepClock
from train.material import OBJECTIVES, TokenPair, make_groups, pairs_digest
from train.settings import BETA, GAMMA, LEARNING_RATE, MAX_GRAD_NORM, Measured, Order

__all__ = ["measure_spa", "run_spa", "spa_model"]


def spa_model(order: Order) -> ModelSpec:
    """The model to train."""
    return ModelSpec(order.model, dtype=order.dtype, device=order.device)


def measure_spa(order: Order) -> Measured:
    """Trains for one step and times it."""
    found: dict[str, Any] = {}

    def timed(model: Any, arguments: Any, work: Workload) -> PreferenceTrainer:
        trainer = PreferenceTrainer(model, arguments, work)
        (batch,) = work.batches
        start = OptimizerBatch(0, batch.groups[:1])
        clock = StepClock(trainer, lambda model: _pass(trainer, model, start))
        found.update(clock=clock, batch=batch, parameters=model.num_parameters())
        return trainer

    result = run_spa(order, timed)
    clock, batch = found["clock"], found["batch"]
    packed = result.layout != "a row for each response"
    return Measured(
        pairs=batch.pairs,
        tokens=sum(
            part.tokens + (0 if packed else len(part.group.prompt) * (len(part.places) - 1))
            for part in whole(batch.groups)
        ),
        parameters=found["parameters"],
        loss=result.history[0]["loss"],
        digest=pairs_digest(_token_pairs(batch)),
        seconds=clock.seconds,
        update_seconds=clock.update_seconds,
        cpu_seconds=clock.cpu_seconds,
        before_bytes=clock.before_bytes,
        peak_bytes=clock.peak_bytes,
        how=result.layout,
    )


def run_spa(order: Order, trainer: Any, max_grad_norm: float = MAX_GRAD_NORM) -> Any:
    """Trains on the order's case in one step.

    Args:
        order: The case, the model and the number format.
        trainer: Called in the place of `PreferenceTrainer`; makes one and may watch it.
        max_grad_norm: Gradients longer than this are scaled down to it.
    """
    model = spa_model(order)
    settings = TrainConfig(
        lora=None,
        batch_pairs=order.case.pairs,
        learning_rate=LEARNING_RATE,
        schedule="constant",
        warmup_ratio=0.0,
        max_grad_norm=max_grad_norm,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(fit, "PreferenceTrainer", trainer),
    ):
        return train(
            make_groups(order.case, load_tokenizer(model)),
            OBJECTIVES,
            model=model,
            settings=settings,
            loss=SimpoLoss(SimpoConfig(beta=BETA, gamma=GAMMA)),
            output_dir=Path(folder) / "training",
            seed=0,
            on_progress=lambda _: None,
            should_stop=lambda: False,
        )


def _pass(trainer: PreferenceTrainer, model: Any, batch: OptimizerBatch) -> None:
    trainer.training_step(model, {"batch": batch})


def _token_pairs(batch: OptimizerBatch) -> Iterator[TokenPair]:
    for group in batch.groups:
        for chosen, rejected in zip(group.chosen, group.rejected, strict=True):
            yield group.prompt, group.responses[chosen], group.responses[rejected]
