"""The optimizer loop: a `transformers.Trainer` whose training example is a whole optimizer batch.

transformers sees batches of one example and no accumulation, so it divides nothing. `training_step`
splits the batch into micro-batches and those among processes, and each pair's loss is divided once,
by the number of pairs of the batch. So losses, weights and the step do not depend on the split.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from spa.training.batching import OptimizerBatch
from spa.training.checkpoints import CheckpointKind, checkpoint_kind, seal_checkpoint
from spa.training.forward import forwarding
from spa.training.metrics import Figures
from spa.training.micro_batches import plan_micro_batches, share
from spa.training.outcome import TrainingStopped, TrainProgress
from spa.training.processes import Processes, shard_on_cpu
from spa.training.randomness import rng_state, set_rng_state
from spa.training.step import Step
from spa.training.workload import Workload

__all__ = ["PreferenceTrainer"]

logger = logging.getLogger(__name__)


class PreferenceTrainer(Trainer):
    """Trains on optimizer batches of prompt groups."""

    def __init__(self, model: Any, args: TrainingArguments, work: Workload) -> None:
        """Sets up transformers' trainer without anything that prints."""
        # One process runs one model on one device; DataParallel would split the batch among GPUs.
        args._n_gpu = 1
        super().__init__(model=model, args=args, train_dataset=_Batches(work.batches))
        self.remove_callback(PrinterCallback)
        self.add_callback(_SaveCallback(_save_points(work)))
        self.work = work
        self.processes = Processes.of(self.accelerator)
        self._metrics: dict[str, float] = {}
        self._pairs_before = [0]
        for batch in work.batches:
            self._pairs_before.append(self._pairs_before[-1] + batch.pairs)

    def train(self, resume_from_checkpoint: str | None = None) -> Any:  # type: ignore[override]
        """Trains, from a checkpoint where there is one; the model is prepared for it meanwhile."""
        with forwarding(self.model, self.work.forward):
            return super().train(resume_from_checkpoint=resume_from_checkpoint)

    def create_accelerator_and_postprocess(self) -> None:
        """Also shards on CPUs, where accelerate would hold the whole model in every process."""
        super().create_accelerator_and_postprocess()
        self.is_fsdp_enabled = shard_on_cpu(self.accelerator) or self.is_fsdp_enabled

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
            The mean loss over the batch's pairs, the same in every process.

        Raises:
            RunError: If a loss is not finite.
            TrainingStopped: If asked to stop; a checkpoint of the last finished step is kept.
        """
        batch: OptimizerBatch = inputs["batch"]
        model.train()
        rng = rng_state()
        alone = self.processes.count == 1
        if not alone and self.processes.any(self.work.should_stop()):
            self._stop(rng)
        figures = Figures()
        local, number = self.processes.local_model(model), self.state.global_step + 1
        step = Step(self.work, batch, number, self._backward, self.processes.averaging)
        micro_batches = plan_micro_batches(batch.groups, self.work.budget)
        turns = share(micro_batches, self.processes.count, self.processes.place)
        for done, turn in enumerate(turns, start=1):
            if alone and self.work.should_stop():
                self._stop(rng)
            last = done == len(turns)
            if turn.counts or self.processes.sharded:
                step.take(local, turn.work, figures if turn.counts else None, last=last)
            self._report(batch.pairs * done // len(turns))
        self.processes.sum_gradients(self._model.parameters())
        figures = Figures(
            self.processes.sum_figures(figures.sums), self.processes.sum_figures(figures.counts)
        )
        self._metrics = {**figures.means(), "pairs": float(batch.pairs)}
        return torch.tensor(self._metrics.pop("loss"), device=self.args.device)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Also notes checksums, when every process has written its part."""
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.processes.is_main:
            folder = f"checkpoint-{self.state.global_step}"
            seal_checkpoint(Path(str(self.args.output_dir)) / folder)

    def _backward(self, total: torch.Tensor, last: bool) -> None:
        # DeepSpeed steps after the backward pass that is said to be the last one.
        state = self.accelerator.gradient_state
        state._set_sync_gradients(last)
        self.accelerator.backward(total)
        state._set_sync_gradients(True)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the metrics of the step, and warns of gradients that are 0 or not finite."""
        norm = logs.get("grad_norm")
        if norm is not None:
            logs = {**logs, **self._metrics}
            if norm == 0 or not math.isfinite(norm):
                logger.warning("gradient norm is %s at step %d", norm, self.state.global_step)
        super().log(logs, start_time)

    @property
    def _model(self) -> Any:
        return self.model

    def _report(self, pairs: int) -> None:
        if not self.processes.is_main:
            return
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
        model = self._model
        model.zero_grad()
        set_rng_state(rng)
        kept = Path(str(self.args.output_dir)) / f"checkpoint-{step}"
        if step > 0 and checkpoint_kind(kept) is None:
            self._save_checkpoint(model, trial=None)
        raise TrainingStopped(step, len(self.work.batches))

    @property
    def checkpoint_kind(self) -> CheckpointKind:
        """What kind of checkpoints it writes, and can go on from."""
        if self.is_deepspeed_enabled:
            return "deepspeed"
        return "fsdp" if self.is_fsdp_enabled else "plain"

    def whole_state(self) -> dict[str, Any] | None:
        """All trained weights, where no process holds them all; None where each does.

        All processes must call it. The first one gets the weights, the others perhaps nothing.
        """
        if not self.processes.sharded:
            return None
        state: dict[str, Any] | None = self.accelerator.get_state_dict(self.model_wrapped)
        return state

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        """Writes weights as safetensors, without the pickled arguments that transformers adds."""
        model = self._model
        if not self.args.should_save:
            return
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


def _only(examples: list[dict[str, OptimizerBatch]]) -> dict[str, OptimizerBatch]:
    (example,) = examples
    return example
