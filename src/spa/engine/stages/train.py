"""Trains the policy on the pairs of a round."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from spa.contracts import Loss, PairBuilder
from spa.engine.checksums import files_below, with_checksums
from spa.engine.components import create
from spa.engine.context import RunContext, StageRecord
from spa.engine.damage import begin_from, clear_work, problem_of, set_aside, tidy
from spa.engine.files import disk_errors, write_json
from spa.engine.joining import Beside
from spa.engine.keys import KEY_FILE, folder_name, key_config, key_record, stage_key
from spa.engine.lock import writer_lock
from spa.engine.policy import Policy
from spa.engine.sources import note_sources, warn_of_drift
from spa.engine.stages.stage import StageRows
from spa.recipe import ComponentSpec
from spa.types import Group, JsonValue, Objective, PreferencePair

if TYPE_CHECKING:
    from spa.training.groups import TrainingGroup
    from spa.training.outcome import TrainProgress, TrainResult

__all__ = ["stored_result", "train_parts", "train_stage"]

_MARKER = "stage.json"


def train_stage(
    context: RunContext,
    groups: Callable[[], Iterator[Group]],
    pairs: StageRows[PreferencePair],
    objectives: Sequence[Objective],
    policy: Policy,
    reads: Sequence[str],
) -> TrainResult:
    """Runs the stage ``train``, or takes its result from the store.

    Args:
        context: The run.
        groups: Gives the groups that denoising kept.
        pairs: The preference pairs among their responses.
        objectives: With the judge's scale.
        policy: What is trained.
        reads: Keys of the stages that groups and pairs come from.

    Raises:
        KeyboardInterrupt: If the user asked to stop; a checkpoint is kept.
        RunError: If training failed.
    """
    if context.planner is not None:
        return context.planner.train(context, pairs, policy)
    started = time.monotonic()
    section = context.recipe.loss
    parts = train_parts(context, pairs, policy)
    key = stage_key("train", parts)
    if context.retry is not None:
        context.retry.refuse_another(context.round, "train", key)
    folder = context.store / folder_name("train", key)
    context.use(folder.name)
    sound = problem_of(folder, context.digests) is None
    result = stored_result(folder) if sound else None
    cached = result is not None
    if result is not None:
        made = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
        warn_of_drift(folder, "train", made.get("sources", {}), (section,))
        tidy(folder)
    else:
        # Another run may be training just this: then it is waited for, and its result is taken.
        with writer_lock(folder, wait=True):
            if problem := problem_of(folder, context.digests):
                set_aside(folder, problem)
            result = stored_result(folder)
            cached = result is not None
            if result is None:
                context.tell("stage_started", "train", total=len(pairs.rows))
                if not (folder / KEY_FILE).is_file():
                    told = context.models.told(policy.backend)
                    write_json(folder / KEY_FILE, key_record("train", key, parts, told))
                context.models.free()
                made_from = context.made_from(reads)
                begin_from(folder, made_from)
                sources = note_sources(folder, "train", (section,))
                with disk_errors(folder):
                    result = _train(context, groups, pairs, objectives, policy, folder)
                _commit(folder, key, result, sources, made_from)
    seconds = time.monotonic() - started
    total = len(pairs.rows)
    context.tell(
        "stage_finished",
        "train",
        done=total,
        total=total,
        details={"cached": cached, "seconds": seconds, **_last_step(result)},
    )
    context.stages.append(
        StageRecord(
            name="train",
            round=context.round,
            key=key,
            folder=folder.name,
            cached=cached,
            rows=total - sum(result.dropped.values()),
            failed=sum(result.dropped.values()),
            failure_reasons=dict(result.dropped),
            seconds=seconds,
            components=(context.record(section),),
            details=_details(result),
        )
    )
    return result


def train_parts(
    context: RunContext, pairs: StageRows[PreferencePair], policy: Policy
) -> dict[str, Any]:
    """What the key of the stage is made of."""
    return {
        "components": [context.identity(context.recipe.loss)],
        "model": context.model_identity(policy.backend),
        "reads": [pairs.key],
        "settings": key_config(context.recipe.train),
        "seed": context.recipe.seed,
    }


def _commit(
    folder: Path,
    key: str,
    result: TrainResult,
    sources: Mapping[str, Any],
    made_from: Mapping[str, str],
) -> None:
    from spa.training.outcome import REFERENCE_NOTE
    from spa.training.soup import PARTS

    facts = {
        "format": 1,
        "stage": "train",
        "key": key,
        "made_from": dict(made_from),
        "kind": result.kind,
        "path": result.path.name,
        "steps": result.steps,
        "dropped": dict(result.dropped),
        "warnings": list(result.warnings),
        "seconds": result.seconds,
        "sources": dict(sources),
        "committed_at": time.time(),
    }
    files = files_below(folder, "result.json", REFERENCE_NOTE, result.path.name, PARTS)
    write_json(folder / _MARKER, with_checksums(folder, facts, files))
    with disk_errors(folder):
        clear_work(folder)


def stored_result(folder: Path) -> TrainResult | None:
    """What training made, None if it is not done."""
    if not (folder / _MARKER).is_file():
        return None
    from spa.training.outcome import TrainResult

    return TrainResult.from_json((folder / "result.json").read_text(encoding="utf-8"), folder)


def _train(
    context: RunContext,
    groups: Callable[[], Iterator[Group]],
    pairs: StageRows[PreferencePair],
    objectives: Sequence[Objective],
    policy: Policy,
    folder: Path,
) -> TrainResult:
    from spa.training.job import LossSource
    from spa.training.outcome import TrainingStopped
    from spa.training.run import train
    from spa.training.soup import train_soup

    section = context.recipe.loss

    def progress(state: TrainProgress) -> None:
        place = {"step": state.step, "steps": state.steps, "phase": state.phase}
        figures: dict[str, JsonValue] = {**place, **state.metrics}
        context.tell(
            "stage_progress",
            "train",
            done=state.done,
            total=state.total,
            details=figures,
        )

    common: dict[str, Any] = {
        "model": policy.spec(),
        "settings": context.recipe.train,
        "loss": cast("Loss", create(section)),
        "output_dir": folder,
        "reference_dir": context.store,
        "loss_source": LossSource(
            section.registered.qualified,
            section.config.model_dump(mode="json", by_alias=True),
        ),
        "run_name": _run_name(context),
        "askers": _askers(context),
        "seed": context.recipe.seed,
        "on_progress": progress,
        "should_stop": context.interrupt.asked,
    }
    try:
        with context.interrupt.polite():
            if context.recipe.train.soup is None:
                return train(_examples(groups(), pairs.rows), objectives, **common)
            alone = {one.name: _pairs_of(context, groups, one) for one in objectives}
            return train_soup(
                {name: _examples(groups(), own) for name, own in alone.items()},
                objectives,
                made_before=partial(_trained_for, context),
                **common,
            )
    except TrainingStopped as stopped:
        raise KeyboardInterrupt from stopped


def _examples(groups: Iterable[Group], pairs: Iterable[PreferencePair]) -> list[TrainingGroup]:
    """The groups that have pairs; both come in the order of the prompts."""
    from spa.training.groups import TrainingGroup

    beside = Beside(pairs, lambda pair: pair.prompt_id)
    found = [
        TrainingGroup(group.prompt, tuple(group), tuple(own))
        for group in groups
        if (own := beside.of(group.prompt.id))
    ]
    beside.end()
    return found


def _pairs_of(
    context: RunContext, groups: Callable[[], Iterator[Group]], objective: Objective
) -> Iterator[PreferencePair]:
    """The pairs that one objective alone decides."""
    builder = cast("PairBuilder", create(context.recipe.pairs))
    for group in groups():
        yield from builder.pairs(group, (objective,))


def _trained_for(context: RunContext, objective: str) -> Iterator[Path]:
    """Where sound trainings of the store keep an adapter that was trained for an objective."""
    from spa.training.soup import PARTS

    for folder in sorted(context.store.glob(folder_name("train", "*"))):
        part = folder / PARTS / objective
        if part.is_dir() and problem_of(folder, context.digests) is None:
            yield part


def _run_name(context: RunContext) -> str:
    """What experiment trackers call the training of this round."""
    several = context.recipe.iterations > 1
    return f"{context.name}-round-{context.round}" if several else context.name


def _askers(context: RunContext) -> dict[str, str]:
    """What had a part in the pairs and asked another model: its place, and that model's name."""
    return {
        asker.path: _model_name(asker.backend)
        for asker in context.recipe.askers
        if asker.backend is not None and not asker.path.startswith("evaluate")
    }


def _model_name(backend: ComponentSpec) -> str:
    """Of a path the last part alone, as cards are published."""
    config = backend.config
    named = getattr(config, "path", None) or getattr(config, "model", None) or backend.name
    text = str(named)
    return Path(text).name if Path(text).is_absolute() else text


def _last_step(result: TrainResult) -> dict[str, JsonValue]:
    """Progress tells of the steps under way; this, that the last one is done."""
    last = result.history[-1] if result.history else {}
    place: dict[str, JsonValue] = {"step": result.steps, "steps": result.steps}
    return {**place, "loss": last["loss"]} if "loss" in last else place


def _details(result: TrainResult) -> dict[str, Any]:
    last = dict(result.history[-1]) if result.history else {}
    return {
        "steps": result.steps,
        "layout": result.layout,
        "warnings": list(result.warnings),
        "last_step": last,
    }
