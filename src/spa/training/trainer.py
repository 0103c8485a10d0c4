"""The optimizer loop: a `transformers.Trainer` whose training example is a whole optimizer batch.

transformers sees batches of one example and no accumulation, so it divides nothing. `training_step`
splits the batch into micro-batches, and each pair's loss is divided once, by the number of pairs of
the batch. So losses, weights and the step do not depend on the split.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from spa.contracts import Loss, PairLosses
from spa.errors import RunError
from spa.training.assembly import pair_batch
from spa.training.batching import OptimizerBatch
from spa.training.checkpoints import is_complete
from spa.training.encoding import EncodedGroup
from spa.training.forward import group_logprobs
from spa.training.outcome import TrainingStopped, TrainProgress
from spa.training.reference import ReferenceLogprobs

__all__ = ["PreferenceTrainer", "Workload"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Workload:
    """What a trainer does, apart from how its optimizer is set.

    Attributes:
        batches: The optimizer batches of all epochs, in order.
        loss: One loss a pair.
        pad_id: Any valid token id.
        micro_groups: Groups in one forward pass.
        context: The context of a forward pass (autocast or nothing).
        reference: Log-probabilities under the reference policy, where the loss needs them.
        save_every: Steps between checkpoints; None: one at the end of each epoch.
        on_progress: Called after every micro-batch.
        should_stop: Asked before every micro-batch.
    """

    batches: Sequence[OptimizerBatch]
    loss: Loss
    pad_id: int
    micro_groups: int
    context: Callable[[], AbstractContextManager[object]]
    reference: ReferenceLogprobs | None
    save_every: int | None
    on_progress: Callable[[TrainProgress], None]
    should_stop: Callable[[], bool]


class PreferenceTrainer(Trainer):
    """Trains on optimizer batches of prompt groups."""

    def __init__(self, model: Any, args: TrainingArguments, work: Workload) -> None:
        """Sets up transformers' trainer without anything that prints.

        Raises:
            RunError: If started as one of several processes.
        """
        # One process sees a whole optimizer batch; DataParallel would split it among GPUs.
        if args.world_size > 1:
            raise RunError(
                f"training runs in one process, but {args.world_size} were started. "
                "Start spa without a launcher."
            )
        args._n_gpu = 1
        super().__init__(model=model, args=args, train_dataset=_Batches(work.batches))
        self.remove_callback(PrinterCallback)
        self.add_callback(_SaveCallback(_save_points(work)))
        self.work = work
        self.doubts: Counter[str] = Counter()
        """How often a step had no gradient (``"zero"``) or one that is not finite."""
        self._metrics: dict[str, float] = {}
        self._pairs_before = [0]
        for batch in work.batches:
            self._pairs_before.append(self._pairs_before[-1] + batch.pairs)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The batches in their planned order, untouched by accelerate's sharding."""
        return DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=_only)  # type: ignore[arg-type]

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:  # noqa: ARG002  # set by transformers
        """0: transformers would look for token tensors that are not made yet."""
        return 0

    def training_step(
        self,
        model: Any,
        inputs: dict[str, Any],
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002  # set by transformers
    ) -> torch.Tensor:
        """Forward and backward of one optimizer batch.

        Args:
            model: The model to train.
            inputs: ``{"batch": OptimizerBatch}``.
            num_items_in_batch: Not used: pairs are counted here.

        Returns:
            The mean loss over the batch's pairs.

        Raises:
            RunError: If a loss is not finite.
            TrainingStopped: If asked to stop; a checkpoint of the last finished step is kept.
        """
        batch: OptimizerBatch = inputs["batch"]
        model.train()
        rng = _rng_state()
        total = torch.zeros((), device=self.args.device)
        sums: dict[str, float] = {}
        done = 0
        for groups in _split(batch.groups, self.work.micro_groups):
            if self.work.should_stop():
                self._stop(rng)
            outcome, lengths = self._losses(model, batch, groups)
            loss = outcome.losses.sum() / batch.pairs
            if not torch.isfinite(loss):
                raise RunError(_not_finite(self.state.global_step + 1, groups))
            if not loss.requires_grad:
                name = type(self.work.loss).__name__
                raise RunError(
                    f"loss {name} does not depend on batch.logprobs, so nothing can be learned."
                )
            self.accelerator.backward(loss)
            total += loss.detach()
            pairs = sum(len(group.chosen) for group in groups)
            for name, values in {**outcome.metrics, **lengths}.items():
                sums[name] = sums.get(name, 0.0) + float(values.detach().double().sum())
            done += pairs
            self._report(done)
        self._metrics = {name: value / batch.pairs for name, value in sums.items()}
        self._metrics["pairs"] = float(batch.pairs)
        return total

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the metrics of the step, and notes gradients that are 0 or not finite."""
        norm = logs.get("grad_norm")
        if norm is not None:
            logs = {**logs, **self._metrics}
            kind = "zero" if norm == 0 else "not finite" if not math.isfinite(norm) else None
            if kind is not None:
                self.doubts[kind] += 1
                logger.warning("gradient norm is %s at step %d", norm, self.state.global_step)
        super().log(logs, start_time)

    def _losses(
        self, model: Any, batch: OptimizerBatch, groups: Sequence[EncodedGroup]
    ) -> tuple[PairLosses, dict[str, torch.Tensor]]:
        with self.work.context():
            logprobs, mask = group_logprobs(model, groups, self.work.pad_id)
        reference = self.work.reference.lookup(groups, logprobs) if self.work.reference else None
        pairs = pair_batch(batch, groups, logprobs, mask, reference)
        outcome = self.work.loss(pairs)
        for name, values in {"losses": outcome.losses, **outcome.metrics}.items():
            if values.shape != pairs.chosen.shape:
                raise RunError(
                    f"loss {type(self.work.loss).__name__} returned {name!r} of shape "
                    f"{tuple(values.shape)}; it must be one value a pair: ({len(pairs.chosen)},)."
                )
        sums = pairs.sums.detach()
        return outcome, {
            "lengths/chosen": pairs.lengths[pairs.chosen],
            "lengths/rejected": pairs.lengths[pairs.rejected],
            "logps/chosen": sums[pairs.chosen],
            "logps/rejected": sums[pairs.rejected],
        }

    def _report(self, pairs: int) -> None:
        step = self.state.global_step
        self.work.on_progress(
            TrainProgress(
                phase="train",
                done=self._pairs_before[step] + pairs,
                total=self._pairs_before[-1],
                step=step,
                steps=len(self.work.batches),
                metrics=dict(self.state.log_history[-1]) if self.state.log_history else {},
            )
        )

    def _stop(self, rng: list[torch.Tensor]) -> None:
        """Keeps the state after the last finished step, as if this step had not begun."""
        step = self.state.global_step
        model: Any = self.model
        model.zero_grad()
        _set_rng_state(rng)
        if step > 0 and not is_complete(Path(str(self.args.output_dir)) / f"checkpoint-{step}"):
            self._save_checkpoint(model, trial=None)
        raise TrainingStopped(step, len(self.work.batches))

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        """Writes weights as safetensors, without the pickled arguments that transformers adds."""
        model: Any = self.model
        options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
        model.save_pretrained(output_dir or self.args.output_dir, state_dict=state_dict, **options)


class _Batches(torch.utils.data.Dataset[dict[str, OptimizerBatch]]):
    def __init__(self, batches: Sequence[OptimizerBatch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> dict[str, OptimizerBatch]:
        return {"batch": self._batches[index]}


class _SaveCallback(TrainerCallback):
    def __init__(self, steps: frozenset[int]) -> None:
        self._steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        control.should_save = state.global_step in self._steps
        return control


def _save_points(work: Workload) -> frozenset[int]:
    """Steps after which to write a checkpoint; never the last, whose result is saved anyway."""
    steps = range(1, len(work.batches))
    if work.save_every is not None:
        return frozenset(step for step in steps if step % work.save_every == 0)
    return frozenset(s for s in steps if work.batches[s].epoch != work.batches[s - 1].epoch)


def _split(groups: Sequence[EncodedGroup], size: int) -> list[Sequence[EncodedGroup]]:
    return [groups[start : start + size] for start in range(0, len(groups), size)]


def _only(examples: list[dict[str, OptimizerBatch]]) -> dict[str, OptimizerBatch]:
    (example,) = examples
    return example


def _rng_state() -> list[torch.Tensor]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *cuda]


def _set_rng_state(states: list[torch.Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state_all(states[1:])


def _not_finite(step: int, groups: Sequence[EncodedGroup]) -> str:
    names = ", ".join(repr(group.prompt_id) for group in groups)
    return (
        f"the loss is not finite at step {step} (prompts {names}), so nothing more can be learned. "
        "Lower train.learning_rate, or set train.dtype: float32; a custom loss may divide by 0 or "
        "take the logarithm of 0."
    )
