"""What a trainer does, apart from how its optimizer is set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from spa.contracts import Loss
from spa.training.batching import OptimizerBatch
from spa.training.forward import Forward
from spa.training.job import Observe, ShouldStop
from spa.training.micro_batches import Budget
from spa.training.reference import ReferenceLogprobs
from spa.types import Objective

__all__ = ["Workload"]


@dataclass(frozen=True, slots=True)
class Workload:
    """The work of one training.

    Attributes:
        batches: The optimizer batches of all epochs, in order.
        loss: One loss a pair.
        objectives: In the recipe's order.
        forward: How the model is run.
        budget: What goes through the model at once.
        context: The context of a forward pass (autocast or nothing).
        reference: Log-probabilities under the reference policy, where the loss needs them.
        save_every: Steps between checkpoints; None: one at the end of each epoch.
        on_progress: Called after every micro-batch, in the main process.
        should_stop: Asked before every micro-batch; with several processes before every step.
    """

    batches: Sequence[OptimizerBatch]
    loss: Loss
    objectives: Sequence[Objective]
    forward: Forward
    budget: Budget
    context: Callable[[], AbstractContextManager[object]]
    reference: ReferenceLogprobs | None
    save_every: int | None
    on_progress: Observe
    should_stop: ShouldStop
