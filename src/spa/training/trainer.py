"""The optimizer loop: a `transformers.Trainer` whose training example is a whole optimizer batch.

transformers sees batches of one example and no accumulation, so it divides nothing. `training_step`
splits the batch into micro-batches and those among processes, and each pair's loss is divided once,
by the number of pairs of the batch. So losses, weights and the step do not depend on the split.

A loss is first differentiated with respect to the log-probabilities that it is given; the backward
pass through the model carries that gradient on. So a loss holds no activations, and a group that
is too large for one pass is carried through piece by piece, with the same gradient.
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
from spa.training.forward import Forward, ResponseLogprobs, forwarding
from spa.training.layout import Part
from spa.training.metrics import Figures, pair_figures
from spa.training.micro_batches import Budget, MicroBatch, plan_micro_batches, share
from spa.training.outcome import TrainingStopped, TrainProgress
from spa.training.processes import Processes, shard_on_cpu, whole_tensors
from spa.training.reference import ReferenceLogprobs
from spa.types import Objective

__all__ = ["PreferenceTrainer", "Workload"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Workload:
    """What a trainer does, apart from how its optimizer is set.

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
    on_progress: Callable[[TrainProgress], None]
    should_stop: Callable[[], bool]


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
        self.doubts: Counter[str] = Counter()
        """How often a step had no gradient (``"zero"``) or one that is not finite."""
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
        rng = _rng_state()
        alone = self.processes.count == 1
        if not alone and self.processes.any(self.work.should_stop()):
            self._stop(rng)
        figures = Figures()
        micro_batches = plan_micro_batches(batch.groups, self.work.budget)
        turns = share(micro_batches, self.processes.count, self.processes.place)
        for number, turn in enumerate(turns, start=1):
            if alone and self.work.should_stop():
                self._stop(rng)
            last = number == len(turns)
            if turn.counts or self.processes.sharded:
                self._turn(model, batch, turn.work, figures if turn.counts else None, last)
            self._report(batch.pairs * number // len(turns))
        self.processes.sum_gradients(self._model.parameters())
        figures = Figures(
            self.processes.sum_figures(figures.sums), self.processes.sum_figures(figures.counts)
        )
        self._metrics = {**figures.means(), "pairs": float(batch.pairs)}
        return torch.tensor(self._metrics.pop("loss"), device=self.args.device)

    def _turn(
        self,
        model: Any,
        batch: OptimizerBatch,
        work: MicroBatch,
        figures: Figures | None,
        last: bool,
    ) -> None:
        """Forward and backward of one micro-batch.

        Args:
            model: The model, wrapped as accelerate left it.
            batch: The optimizer batch that it belongs to.
            work: The micro-batch.
            figures: Where its figures are added; None: its pairs do not count.
            last: Whether no pass of this optimizer step follows.
        """
        local = self.processes.local_model(model)
        *others, final = work.passes
        if others:
            with torch.no_grad():
                found = _merged([self._run(local, parts) for parts in work.passes])
        else:
            found = self._run(local, final)
        slopes = self._slopes(found, batch, work.groups, figures)
        row = 0
        for parts in work.passes:
            piece = self._run(local, parts, slim=True) if others else found
            rows, columns = piece.logprobs.shape
            weights = slopes[row : row + rows, :columns]
            row += rows
            # DeepSpeed steps after the backward pass that is said to be the last one.
            self.accelerator.gradient_state._set_sync_gradients(last and parts is final)
            self.accelerator.backward((piece.logprobs * weights).sum())
        self.accelerator.gradient_state._set_sync_gradients(True)

    def _run(self, model: Any, parts: Sequence[Part], *, slim: bool = False) -> ResponseLogprobs:
        """One pass through the model; ``slim`` leaves out what only the loss needs."""
        collision = not slim and bool(getattr(self.work.loss, "needs_collision", False))
        with self.work.context():
            return self.work.forward(model, parts, collision=collision)

    def _slopes(
        self,
        found: ResponseLogprobs,
        batch: OptimizerBatch,
        groups: Sequence[EncodedGroup],
        figures: Figures | None,
    ) -> torch.Tensor:
        """(R, T) gradient of the optimizer batch's mean loss with respect to log-probabilities.

        Raises:
            RunError: If the loss is not finite, of another shape, or does not depend on them.
        """
        leaf = found.logprobs.detach().requires_grad_()
        reference = self.work.reference.lookup(groups, leaf) if self.work.reference else None
        pairs = pair_batch(
            batch, groups, leaf, found.mask, reference, collision_logprobs=found.collision
        )
        with torch.enable_grad():
            outcome = self.work.loss(pairs)
            self._check(outcome, len(pairs.chosen))
            total = outcome.losses.sum() / batch.pairs
        if not torch.isfinite(total):
            raise RunError(_not_finite(self.state.global_step + 1, groups))
        slopes = (
            torch.autograd.grad(total, leaf, allow_unused=True)[0] if total.requires_grad else None
        )
        if slopes is None:
            name = type(self.work.loss).__name__
            raise RunError(
                f"loss {name} does not depend on batch.logprobs, so nothing can be learned."
            )
        if figures is None:
            return torch.zeros_like(slopes)
        figures.add("loss", outcome.losses)
        pair_figures(figures, pairs, outcome, self.work.objectives)
        return slopes * self.processes.averaging

    def _check(self, outcome: PairLosses, pairs: int) -> None:
        for name, values in {"losses": outcome.losses, **outcome.metrics}.items():
            if values.shape != (pairs,):
                raise RunError(
                    f"loss {type(self.work.loss).__name__} returned {name!r} of shape "
                    f"{tuple(values.shape)}; it must be one value a pair: ({pairs},)."
                )

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
        _set_rng_state(rng)
        if step > 0 and not is_complete(Path(str(self.args.output_dir)) / f"checkpoint-{step}"):
            self._save_checkpoint(model, trial=None)
        raise TrainingStopped(step, len(self.work.batches))

    def whole_state(self) -> dict[str, Any] | None:
        """All trained weights, where no process holds them all; None where each does."""
        if not self.processes.sharded:
            return None
        return whole_tensors(self.accelerator.get_state_dict(self.model_wrapped))

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        """Writes weights as safetensors, without the pickled arguments that transformers adds."""
        model, state_dict = self._model, whole_tensors(state_dict)
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


def _merged(pieces: Sequence[ResponseLogprobs]) -> ResponseLogprobs:
    """The responses of all pieces, one after another."""

    def rows(tables: Sequence[torch.Tensor]) -> torch.Tensor:
        separate = [row for table in tables for row in table]
        return torch.nn.utils.rnn.pad_sequence(separate, batch_first=True)

    squares = [piece.collision for piece in pieces if piece.collision is not None]
    return ResponseLogprobs(
        rows([piece.logprobs for piece in pieces]),
        rows([piece.mask for piece in pieces]),
        rows(squares) if squares else None,
    )


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
