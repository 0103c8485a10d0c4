"""Training from start to end: encode, train, save. What the engine calls.

Interrupted training goes on from its last checkpoint when called again with the same arguments;
finished training is not done twice.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import AutoConfig

from spa.contracts import Loss
from spa.errors import RunError
from spa.models.identity import fingerprint
from spa.models.loading import load_tokenizer
from spa.models.location import model_source
from spa.models.spec import ModelSpec
from spa.training.checkpoints import claim_folder, same_training, training_identity
from spa.training.encoding import Encoding, encode
from spa.training.failures import readable_failures
from spa.training.fit import fit
from spa.training.groups import TrainingGroup
from spa.training.job import Job, LossSource, Observe, ShouldStop
from spa.training.launch import fit_in_processes
from spa.training.launched import fit_with_followers
from spa.training.outcome import TrainResult
from spa.training.roles import is_launched
from spa.training.saving import sync, write_folder
from spa.types import Objective

if TYPE_CHECKING:
    from spa.recipe.sections import TrainConfig

__all__ = ["train", "write_result"]

logger = logging.getLogger(__name__)


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
    should_stop: ShouldStop,
    reference_dir: Path | None = None,
    loss_source: LossSource | None = None,
    run_name: str | None = None,
    askers: Mapping[str, str] | None = None,
    made_before: Iterable[Path] = (),
) -> TrainResult:
    """Trains the policy on preference pairs.

    Args:
        groups: Prompts with their responses and pairs.
        objectives: In the recipe's order.
        model: The policy at the start of the round, ``adapter`` set in later rounds.
        settings: Section ``train``.
        loss: The loss component.
        output_dir: Folder of this training alone. Gets ``adapter`` or ``model``, while training
            ``checkpoints``, and last ``result.json``.
        seed: Of adapter weights and data order, unless ``settings.seed`` is given.
        on_progress: Called after every micro-batch.
        should_stop: Asked before every micro-batch; True stops before the next one.
        reference_dir: Where reference log-probabilities are kept, shared by trainings that start
            from the same model with the same responses; None: in ``output_dir``.
        loss_source: Where other processes find the loss; needed if ``settings`` asks for several.
        run_name: What experiment trackers call this training; None: as ``output_dir``.
        askers: For the model card: what asked another model than the policy, by its place in the
            recipe, and that model's name.
        made_before: Folders of other trainings; the result of one that is just the same is copied.

    Raises:
        TrainingStopped: If ``should_stop`` said so. Call again to go on.
        RunError: If there is nothing to train on, or training failed.
    """
    seed = seed if settings.seed is None else settings.seed
    limit = settings.max_length or _context_length(model)
    encoding = encode(groups, objectives, load_tokenizer(model), limit, model.chat_template_kwargs)
    if not encoding.groups:
        raise RunError(_nothing_left(encoding, limit))
    output_dir = output_dir.resolve()
    job = Job(
        objectives=tuple(objectives),
        model=model,
        settings=settings,
        loss=loss,
        output_dir=output_dir,
        reference_dir=output_dir if reference_dir is None else reference_dir.resolve(),
        seed=seed,
        encoding=encoding,
        identity=training_identity(encoding.groups, settings, loss, fingerprint(model), seed),
        run_name=run_name or output_dir.name,
        askers=dict(askers or {}),
    )
    claim_folder(output_dir, job.identity)
    marker = output_dir / "result.json"
    if (finished := _finished(marker)) is not None:
        shutil.rmtree(output_dir / "checkpoints", ignore_errors=True)
        return finished
    with readable_failures(output_dir):
        if (copied := _copied(made_before, job)) is not None:
            return copied
        result = _carry_out(job, loss_source, on_progress, should_stop)
        write_result(result, output_dir)
        shutil.rmtree(output_dir / "checkpoints", ignore_errors=True)
    return result


def write_result(result: TrainResult, output_dir: Path) -> None:
    """Writes the file that says that a training is finished, whole or not at all."""
    marker = output_dir / "result.json"
    temporary = marker.with_suffix(".partial")
    temporary.write_text(result.to_json(output_dir), encoding="utf-8")
    sync(temporary)
    temporary.replace(marker)
    sync(output_dir)


def _finished(marker: Path) -> TrainResult | None:
    """What an earlier call made; None if there is nothing that can be read."""
    try:
        return TrainResult.from_json(marker.read_text(encoding="utf-8"), marker.parent)
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        logger.warning("%s is damaged (%s): training is done again", marker, error)
        return None


def _copied(made_before: Iterable[Path], job: Job) -> TrainResult | None:
    """The result of a training that is just the same, in the folder of this one."""
    for folder in made_before:
        if not same_training(folder, job.identity):
            continue
        if (result := _finished(folder / "result.json")) is None:
            continue
        path = job.output_dir / result.path.name
        write_folder(path, partial(shutil.copytree, result.path, dirs_exist_ok=True))
        result = replace(result, path=path)
        write_result(result, job.output_dir)
        return result
    return None


def _carry_out(
    job: Job, loss: LossSource | None, on_progress: Observe, should_stop: ShouldStop
) -> TrainResult:
    """Trains in this process, or in all that there are or should be."""
    if not (is_launched() or job.settings.in_processes):
        return fit(job, on_progress, should_stop)
    if loss is None:
        raise RunError("training in several processes needs the name of a loss that they can find")
    if is_launched() and job.settings.in_processes:
        logger.warning(
            "train.processes and train.accelerate have no effect: the processes that the launcher "
            "started train"
        )
    together = fit_with_followers if is_launched() else fit_in_processes
    return together(job, loss, on_progress, should_stop)


def _context_length(spec: ModelSpec) -> int | None:
    """Most tokens that the model allows, None if its config does not say."""
    config = AutoConfig.from_pretrained(
        model_source(spec.path), trust_remote_code=spec.trust_remote_code
    )
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return length if isinstance(length, int) else None


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
