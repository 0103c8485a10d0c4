"""Compares spa's gradient with that of plain code: two sequences a pair, one pair after another.

The plain code runs in float64, since in float32 it is less exact than what it should judge; how far
off it is then is given as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from transformers import TrainerCallback

from spa.models.loading import load_model
from spa.training.batching import OptimizerBatch
from spa.training.trainer import PreferenceTrainer
from spa.training.workload import Workload
from train.settings import BETA, GAMMA, Order
from train.spa_side import run_spa, spa_model

__all__ = ["gradient_difference"]

Gradient = dict[str, torch.Tensor]
UNCLIPPED = 1e12


def gradient_difference(order: Order) -> dict[str, float]:
    """Distances to the gradient in float64, relative to its length (L2), and losses."""
    found: dict[str, Any] = {}

    def watched(model: Any, arguments: Any, work: Workload) -> PreferenceTrainer:
        trainer = PreferenceTrainer(model, arguments, work)
        trainer.add_callback(_Keep(found))
        found["batch"] = work.batches[0]
        return trainer

    result = run_spa(order, watched, max_grad_norm=UNCLIPPED)
    _, plain = _pair_by_pair(order, found["batch"], torch.float32)
    loss, exact = _pair_by_pair(order, found["batch"], torch.float64)
    return {
        "relative_l2": _distance(found["gradient"], exact),
        "plain_relative_l2": _distance(plain, exact),
        "spa_loss": result.history[0]["loss"],
        "exact_loss": loss,
    }


class _Keep(TrainerCallback):
    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        del args, state, control
        weights = model.named_parameters()
        self.found["gradient"] = {name: weight.grad.clone() for name, weight in weights}


def _distance(found: Gradient, exact: Gradient) -> float:
    difference = sum((found[name].double() - exact[name]).square().sum() for name in exact)
    length = sum(weight.square().sum() for weight in exact.values())
    return float((difference / length) ** 0.5)


def _pair_by_pair(
    order: Order, batch: OptimizerBatch, dtype: torch.dtype
) -> tuple[float, Gradient]:
    """The mean loss and its gradient."""
    model: Any = load_model(spa_model(order))
    model.to(dtype).eval()
    total = 0.0
    for prompt, chosen, rejected in _pairs(batch):
        margin = _average(model, prompt, chosen) - _average(model, prompt, rejected)
        loss = -logsigmoid(BETA * margin - GAMMA) / batch.pairs
        loss.backward()
        total += loss.item()
    return total, {name: weight.grad for name, weight in model.named_parameters()}


def _pairs(batch: OptimizerBatch) -> Iterator[tuple[tuple[int, ...], ...]]:
    for group in batch.groups:
        for chosen, rejected in zip(group.chosen, group.rejected, strict=True):
            yield group.prompt, group.responses[chosen], group.responses[rejected]


def _average(model: Any, prompt: tuple[int, ...], response: tuple[int, ...]) -> torch.Tensor:
    """Mean log-probability of the response's tokens, of a sequence without padding."""
    ids = torch.tensor([prompt + response], device=model.device)
    logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
    logprobs = logits.log_softmax(-1)
    labels = ids[0, len(prompt) :, None]
    average: torch.Tensor = logprobs.gather(-1, labels).mean()
    return average
