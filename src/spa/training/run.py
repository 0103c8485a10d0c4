"""Training from start to end: encode, load, train, check, save. What the engine calls.

Interrupted training goes on from its last checkpoint when called again with the same arguments;
finished training is not done twice.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, TrainingArguments
from transformers.utils import logging as transformers_logging

from spa.contracts import Loss
from spa.errors import RunError
from spa.models.identity import fingerprint
from spa.models.loading import load_tokenizer
from spa.models.location import model_source
from spa.models.spec import ModelSpec
from spa.training.batching import OptimizerBatch, plan_batches
from spa.training.card import Facts, model_card
from spa.training.checkpoints import claim_folder, last_complete, training_identity
from spa.training.encoding import Encoding, encode
from spa.training.failures import readable_failures
from spa.training.groups import TrainingGroup
from spa.training.outcome import TrainingStopped, TrainProgress, TrainResult
from spa.training.policy import Policy, all_finite, load_trainable, weights_digest
from spa.training.precision import autocast
from spa.training.reference import ReferenceLogprobs, compute_reference
from spa.training.saving import save_adapter, save_full
from spa.training.trainer import PreferenceTrainer, Workload
from spa.types import Objective

if TYPE_CHECKING:
    from spa.recipe.sections import TrainConfig

__all__ = ["train"]

logger = logging.getLogger(__name__)

Observe = Callable[[TrainProgress], None]


@dataclass(frozen=True, slots=True)
class _Job:
    """What the steps of `train` share."""

    objectives: tuple[Objective, ...]
    model: ModelSpec
    settings: TrainConfig
    loss: Loss
    output_dir: Path
    seed: int
    encoding: Encoding
    batches: tuple[OptimizerBatch, ...]
    identity: dict[str, str]
    on_progress: Observe
    should_stop: Callable[[], bool]


def train(
    groups: Sequence[TrainingGroup],
    objectives: Sequence[Objective],
    *,
    model: ModelSpec,
    settings: TrainConfig,
    loss: Loss,
    output_dir: Path,
    seed: int,
    on_progress: Observe,
    should_stop: Callable[[], bool],
) -> TrainResult:
    """Trains the policy on preference pairs.

    Args:
        groups: Prompts with their responses and pairs.
        objectives: In the recipe's order.
        model: The policy at the start of the round, ``adapter`` set in later rounds.
        settings: Section ``train``.
        loss: The loss component.
        output_dir: Folder of this training alone. Gets ``adapter`` or ``model``, while training
            ``checkpoints``, with a reference ``reference.safetensors``, and last ``result.json``.
        seed: Of adapter weights and data order, unless ``settings.seed`` is given.
        on_progress: Called after every micro-batch.
        should_stop: Asked before every micro-batch; True stops before the next one.

    Raises:
        TrainingStopped: If ``should_stop`` said so. Call again to go on.
        RunError: If there is nothing to train on, or training failed.
    """
    started = time.monotonic()
    seed = seed if settings.seed is None else settings.seed
    tokenizer = load_tokenizer(model)
    limit = settings.max_length or _context_length(model)
    encoding = encode(groups, objectives, tokenizer, limit)
    if not encoding.groups:
        raise RunError(_nothing_left(encoding, limit))
    job = _Job(
        objectives=tuple(objectives),
        model=model,
        settings=settings,
        loss=loss,
        output_dir=output_dir.resolve(),
        seed=seed,
        encoding=encoding,
        batches=plan_batches(encoding.groups, settings.batch_pairs, settings.epochs, seed),
        identity=training_identity(encoding.groups, settings, loss, fingerprint(model), seed),
        on_progress=on_progress,
        should_stop=should_stop,
    )
    claim_folder(job.output_dir, job.identity)
    marker = job.output_dir / "result.json"
    if marker.is_file():
        return TrainResult.from_json(marker.read_text(encoding="utf-8"), job.output_dir)
    with readable_failures(job.output_dir):
        result = _train(job, tokenizer, started)
        temporary = marker.with_suffix(".partial")
        temporary.write_text(result.to_json(job.output_dir), encoding="utf-8")
        temporary.replace(marker)
        shutil.rmtree(job.output_dir / "checkpoints", ignore_errors=True)
    return result


def _train(job: _Job, tokenizer: Any, started: float) -> TrainResult:
    transformers_logging.disable_progress_bar()
    policy = load_trainable(job.model, job.settings, job.seed)
    _check_vocabulary(policy, job)
    before = weights_digest(policy.model)
    use_cache = policy.model.config.use_cache
    trainer = _trainer(job, policy, tokenizer)
    checkpoint = last_complete(job.output_dir / "checkpoints")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    policy.model.config.use_cache = use_cache  # the trainer turns it off for good

    if not all_finite(policy.model):
        raise RunError(
            "training ended with weights that are not finite, so nothing was saved. "
            "Lower train.learning_rate or set train.dtype: float32, and delete "
            f"{job.output_dir} before training again."
        )
    history = _history(trainer.state.log_history, job.batches)
    unchanged = weights_digest(policy.model) == before
    warnings = (*policy.warnings, *_doubts(history, unchanged), *_data_warnings(job.encoding))
    for warning in warnings:
        logger.warning("%s", warning)
    card = model_card(_facts(job, policy, len(history), warnings))
    if policy.kind == "adapter":
        path = job.output_dir / "adapter"
        save_adapter(policy.model, path, card)
    else:
        path = job.output_dir / "model"
        save_full(policy.model, tokenizer, path, card)
    return TrainResult(
        path=path,
        kind=policy.kind,
        steps=len(history),
        history=history,
        dropped=job.encoding.dropped,
        retokenised=job.encoding.retokenised,
        warnings=warnings,
        seconds=time.monotonic() - started,
    )


def _trainer(job: _Job, policy: Policy, tokenizer: Any) -> PreferenceTrainer:
    settings, steps = job.settings, len(job.batches)
    arguments = TrainingArguments(
        output_dir=str(job.output_dir / "checkpoints"),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        num_train_epochs=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup"
        if settings.schedule == "constant"
        else settings.schedule,
        # Rounded down: warm-up starts at rate 0, so a training of one step must have none.
        warmup_steps=math.floor(settings.warmup_ratio * steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        save_total_limit=2,
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=[],
        use_cpu=policy.model.device.type == "cpu",
        seed=job.seed,
        data_seed=job.seed,
    )
    pad = tokenizer.pad_token_id
    work = Workload(
        batches=job.batches,
        loss=job.loss,
        pad_id=pad if isinstance(pad, int) else 0,
        micro_groups=settings.micro_groups,
        context=lambda: autocast(policy.model.device, policy.dtype),
        reference=None,
        save_every=settings.save_steps,
        on_progress=job.on_progress,
        should_stop=job.should_stop,
    )
    if job.loss.needs_reference:
        work = replace(work, reference=_reference(job, policy, work))
    return PreferenceTrainer(policy.model, arguments, work)


def _reference(job: _Job, policy: Policy, work: Workload) -> ReferenceLogprobs:
    """Reads what an earlier attempt stored, or forwards all groups through the fresh policy."""
    path = job.output_dir / "reference.safetensors"
    # The loss and the optimizer's settings do not touch it.
    identity = f"{job.identity['model']} {job.identity['data']} {policy.dtype}"
    stored = ReferenceLogprobs.load(path, identity)
    if stored is not None:
        return stored
    total = len(job.encoding.groups)

    def on_groups(done: int) -> None:
        if job.should_stop():
            raise TrainingStopped(0, len(job.batches))
        job.on_progress(TrainProgress("reference", done, total, 0, len(job.batches)))

    reference = compute_reference(
        policy.model,
        job.encoding.groups,
        pad_id=work.pad_id,
        micro_groups=work.micro_groups,
        context=work.context,
        on_groups=on_groups,
    )
    reference.save(path, identity)
    return reference


def _context_length(spec: ModelSpec) -> int | None:
    """Most tokens that the model allows, None if its config does not say."""
    config = AutoConfig.from_pretrained(
        model_source(spec.path), trust_remote_code=spec.trust_remote_code
    )
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return length if isinstance(length, int) else None


def _check_vocabulary(policy: Policy, job: _Job) -> None:
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


def _doubts(history: Sequence[dict[str, float]], unchanged: bool) -> list[str]:
    """Signs that nothing was learned; a run with zero gradient looks healthy otherwise."""
    norms = [entry["grad_norm"] for entry in history]
    doubts = []
    zero = sum(norm == 0 for norm in norms)
    broken = sum(not math.isfinite(norm) for norm in norms)
    if zero:
        doubts.append(
            f"the gradient was 0 in {zero} of {len(norms)} steps, so nothing was learned in them"
        )
    if broken:
        doubts.append(
            f"the gradient was not finite in {broken} of {len(norms)} steps: "
            "lower train.learning_rate or set train.dtype: float32"
        )
    if unchanged:
        doubts.append(
            "training did not change the weights: what was saved behaves like the model before it"
        )
    return doubts


def _data_warnings(encoding: Encoding) -> list[str]:
    warnings = []
    if encoding.dropped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in encoding.dropped.items())
        warnings.append(f"pairs left out of training: {reasons}")
    if encoding.retokenised:
        warnings.append(
            f"{encoding.retokenised} responses came without token ids and were tokenised from "
            "their text, which may differ from what the model produced"
        )
    return warnings


def _nothing_left(encoding: Encoding, limit: int | None) -> str:
    if not encoding.dropped:
        return (
            "there are no preference pairs to train on. "
            "Use more prompts or samples, or a smaller pairs.margin."
        )
    reasons = ", ".join(f"{count} {reason}" for reason, count in encoding.dropped.items())
    advice = (
        f" The longest allowed is {limit} tokens (train.max_length)." if limit is not None else ""
    )
    return f"no preference pair can be trained on: {reasons}.{advice}"


def _facts(job: _Job, policy: Policy, steps: int, warnings: tuple[str, ...]) -> Facts:
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
    )
