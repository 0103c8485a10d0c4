"""Carries a training out in this process: load, train, check, save.

With several processes each of them runs this; the first one speaks and writes for all.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.utils import logging as transformers_logging

from spa.errors import RunError
from spa.models.loading import load_tokenizer, pick_device
from spa.training.batching import OptimizerBatch
from spa.training.card import Facts, model_card
from spa.training.checkpoints import last_complete
from spa.training.doubts import data_doubts, history_doubts
from spa.training.exactness import choose_forward
from spa.training.forward import Forward
from spa.training.job import Job, Observe, ShouldStop
from spa.training.micro_batches import Budget
from spa.training.outcome import REFERENCE_NOTE, TrainingStopped, TrainProgress, TrainResult
from spa.training.policy import Policy, all_finite, load_trainable, weights_digest
from spa.training.precision import autocast
from spa.training.processes import Processes
from spa.training.quantization import rounding
from spa.training.reference import ReferenceLogprobs, compute_reference
from spa.training.saving import save_adapter, save_full
from spa.training.trackers import reporting
from spa.training.trainer import PreferenceTrainer
from spa.training.workload import Workload

__all__ = ["fit"]

logger = logging.getLogger(__name__)

CPU_TOKENS = 1024
ACCELERATOR_TOKENS = 8192


def fit(job: Job, on_progress: Observe, should_stop: ShouldStop) -> TrainResult:
    """Trains, from the last checkpoint if there is one, and saves what was learned.

    Args:
        job: The training.
        on_progress: Called after every micro-batch.
        should_stop: Asked before every micro-batch.

    Raises:
        TrainingStopped: If ``should_stop`` said so.
        RunError: If training failed.
    """
    started = time.monotonic()
    transformers_logging.disable_progress_bar()
    tokenizer = load_tokenizer(job.model)
    pad = tokenizer.pad_token_id
    policy = load_trainable(job.model, job.settings, job.seed)
    _check_vocabulary(policy, job)
    before = weights_digest(policy.model)
    # Finds the other processes. After the model is loaded: DeepSpeed would load a part of it.
    arguments = _arguments(job)
    use_cache = policy.model.config.use_cache

    def context() -> AbstractContextManager[object]:
        return autocast(policy.model.device, policy.dtype)

    forward = choose_forward(
        policy.model,
        pad_id=pad if isinstance(pad, int) else 0,
        longest=job.longest,
        dtype=rounding(policy.dtype, job.settings.quantization),
        packing=job.settings.packing,
        context=context,
    )
    work = Workload(
        batches=job.batches,
        loss=job.loss,
        objectives=job.objectives,
        forward=forward,
        budget=_budget(job, forward, policy.model.device),
        context=context,
        reference=None,
        save_every=job.settings.save_steps,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    processes = Processes(arguments.world_size, arguments.process_index)
    if job.loss.needs_reference:
        work = replace(work, reference=_reference(job, policy, work, processes))
    trainer = PreferenceTrainer(policy.model, arguments, work)
    checkpoint = last_complete(job.output_dir / "checkpoints", trainer.checkpoint_kind)
    with reporting(
        trainer,
        job.settings.report_to,
        job.output_dir,
        job.settings.epochs,
        is_main=processes.is_main,
    ):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    policy.model.config.use_cache = use_cache  # the trainer turns it off for good
    return _finish(job, policy, trainer, tokenizer, before, started)


def _finish(
    job: Job,
    policy: Policy,
    trainer: PreferenceTrainer,
    tokenizer: Any,
    before: str,
    started: float,
) -> TrainResult:
    """Checks what was learned and saves it."""
    processes = trainer.processes
    state = trainer.whole_state()
    # The others may hold nothing but shards, which say little of the whole.
    main = processes.is_main
    if processes.any(main and not all_finite(policy.model, state)):
        raise RunError(
            "training ended with weights that are not finite, so nothing was saved. "
            "Lower train.learning_rate or set train.dtype: float32, and delete "
            f"{job.output_dir} before training again."
        )
    history = _history(trainer.state.log_history, job.batches)
    changed = processes.any(main and weights_digest(policy.model, state) != before)
    warnings = (
        *policy.warnings,
        *history_doubts(history, not changed),
        *data_doubts(job.encoding),
    )
    path = job.output_dir / ("adapter" if policy.kind == "adapter" else "model")
    if main:
        for warning in warnings:
            logger.warning("%s", warning)
        card = model_card(_facts(job, policy, len(history), warnings))
        if policy.kind == "adapter":
            save_adapter(policy.model, path, card, state)
        else:
            save_full(policy.model, tokenizer, path, card, state)
    return TrainResult(
        path=path,
        kind=policy.kind,
        steps=len(history),
        history=history,
        dropped=job.encoding.dropped,
        retokenised=job.encoding.retokenised,
        warnings=warnings,
        seconds=time.monotonic() - started,
        layout=trainer.work.forward.kernel or "a row for each response",
    )


def _arguments(job: Job) -> TrainingArguments:
    settings = job.settings
    if "ACCELERATE_MIXED_PRECISION" in os.environ:
        # From a configuration file of accelerate, which is no part of a training's identity.
        os.environ["ACCELERATE_MIXED_PRECISION"] = "no"  # train.dtype decides
    return TrainingArguments(
        output_dir=str(job.output_dir / "checkpoints"),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        num_train_epochs=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup"
        if settings.schedule == "constant"
        else settings.schedule,
        # Rounded down: warm-up starts at rate 0, so a training of one step must have none.
        warmup_steps=math.floor(settings.warmup_ratio * len(job.batches)),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        save_total_limit=2,
        eval_strategy="no",
        report_to="none",  # see `reporting`
        run_name=job.run_name,
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=[],
        use_cpu=pick_device(job.model).type == "cpu",
        seed=job.seed,
        data_seed=job.seed,
    )


def _budget(job: Job, forward: Forward, device: torch.device) -> Budget:
    """More tokens at a time gain nothing on a CPU."""
    usual = CPU_TOKENS if device.type == "cpu" else ACCELERATOR_TOKENS
    return Budget(
        tokens=job.settings.micro_tokens or usual,
        groups=job.settings.micro_groups,
        packed=forward.kernel is not None,
        split=job.settings.two_phase,
    )


def _reference(job: Job, policy: Policy, work: Workload, processes: Processes) -> ReferenceLogprobs:
    """Reads what an earlier training stored, or forwards all groups through the fresh policy."""
    key = job.reference_key(str(policy.dtype))
    path = job.reference_dir / f"reference-{key[:16]}" / "logprobs.safetensors"
    if processes.is_main:  # several trainings share it: this one says that it needs it
        note = json.dumps({"folder": path.parent.name})
        (job.output_dir / REFERENCE_NOTE).write_text(note + "\n", encoding="utf-8")
    stored = ReferenceLogprobs.load(path, key)
    if not processes.any(stored is None) and stored is not None:
        return stored
    total = len(job.encoding.groups)

    def on_groups(done: int) -> None:
        if processes.any(work.should_stop()):
            raise TrainingStopped(0, len(job.batches))
        if processes.is_main:
            work.on_progress(TrainProgress("reference", done, total, 0, len(job.batches)))

    reference = compute_reference(
        policy.model,
        job.encoding.groups,
        forward=work.forward,
        budget=work.budget,
        context=work.context,
        on_groups=on_groups,
        processes=processes,
    )
    if processes.is_main:
        path.parent.mkdir(parents=True, exist_ok=True)
        reference.save(path, key)
    return reference


def _check_vocabulary(policy: Policy, job: Job) -> None:
    size = policy.model.get_input_embeddings().num_embeddings
    for group in job.encoding.groups:
        for name, ids in zip(group.response_ids, group.responses, strict=True):
            if max(ids) >= size:
                raise RunError(
                    f"response {name!r} holds token id {max(ids)}, but the model's ids end at "
                    f"{size - 1}: it was made with another tokenizer. Sample again with this model."
                )


def _history(
    logged: Sequence[dict[str, Any]], batches: Sequence[OptimizerBatch]
) -> tuple[dict[str, float], ...]:
    steps = [entry for entry in logged if "loss" in entry]
    return tuple(
        {**entry, "epoch": float(batch.epoch + 1)}
        for entry, batch in zip(steps, batches, strict=True)
    )


def _facts(job: Job, policy: Policy, steps: int, warnings: tuple[str, ...]) -> Facts:
    config: Any = getattr(job.loss, "config", None)
    return Facts(
        base=policy.base,
        kind=policy.kind,
        objectives=job.objectives,
        loss=(
            type(job.loss).__name__,
            config.model_dump() if hasattr(config, "model_dump") else {},
        ),
        settings=job.settings,
        seed=job.seed,
        groups=len(job.encoding.groups),
        pairs=sum(len(group.chosen) for group in job.encoding.groups),
        dropped=job.encoding.dropped,
        steps=steps,
        warnings=warnings,
        askers=job.askers,
    )
