"""Stands in for the stages of a run: looks each up in the store, and says what is to be done.

It gets the very stages that a run would carry out, from the same code, so that a plan cannot
disagree with the run that follows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from zlib import crc32

from spa.engine.changes import Change
from spa.engine.context import RunContext
from spa.engine.damage import problem_of, rows_checksum
from spa.engine.keys import SCHEME, edition_key, folder_name, stage_key
from spa.engine.planning.difference import key_changes
from spa.engine.planning.estimate import Estimate, estimated, training
from spa.engine.planning.examples import ExampleRows, FirstRows, Unread, prompt_examples
from spa.engine.planning.kept import KeptStage, KeptStages
from spa.engine.planning.models import NotTrained, PlannedModels
from spa.engine.planning.prompts import counted_prompts
from spa.engine.planning.trial import StoredAnswers, Trial, try_out
from spa.engine.planning.values import StagePlan
from spa.engine.policy import Policy
from spa.engine.rows import JudgedRow, VerdictRow
from spa.engine.stages.naming import answers_name, key_parts, note_origin, stage_folder
from spa.engine.stages.stage import Stage, StageRows
from spa.engine.stages.train import stored_result, train_parts
from spa.engine.store import StageFolder
from spa.errors import RunError
from spa.recipe import ComponentSpec
from spa.types import Objective, PreferencePair, Score

if TYPE_CHECKING:
    from spa.training.outcome import TrainResult

__all__ = ["Planner"]

T = TypeVar("T")
R = TypeVar("R")


class Planner:
    """Plans stage after stage.

    Attributes:
        stages: What was planned so far.
    """

    def __init__(self, store: Path, models: PlannedModels) -> None:
        """Takes the store as it is.

        Args:
            store: Of the run.
            models: Those of the run's context.
        """
        self.stages: list[StagePlan] = []
        self._kept = KeptStages(store)
        self._models = models
        self._titles: dict[str, str] = {}
        self._at_most = False
        self._uncounted = False  # whether there are rows of which no one knows how many

    def stage(self, context: RunContext, stage: Stage[T, R]) -> StageRows[R]:
        """Plans a stage, and gives what later ones need to be planned."""
        doubt = self._models.doubt()
        title = context.title(stage.shown)
        waits = doubt or self._waiting(stage.reads)
        parts: dict[str, Any] | None = None
        if not waits:
            try:
                parts = key_parts(context, stage)
            except NotTrained as untrained:
                waits = untrained.stage
        key = ""
        if parts is not None:
            base = stage_key(stage.name, parts)
            key = edition_key(base, context.editions.get(base, 0))
            note_origin(context, stage, base, key)
        self._titles[key] = title
        folder = stage_folder(context, stage, key)
        problem = _problem(context, folder.path) if key else None
        if key and folder.is_committed and problem is None:
            return self._hit(context, stage, title, key, folder)
        return self._missing(context, stage, title, key, parts, folder, waits, problem)

    def train(
        self, context: RunContext, pairs: StageRows[PreferencePair], policy: Policy
    ) -> TrainResult:
        """Plans the training of a round."""
        from spa.training.outcome import TrainResult

        title = context.title("train")
        waits = self._waiting([pairs.key])
        parts: dict[str, Any] | None = None
        if not waits:
            try:
                parts = train_parts(context, pairs, policy)
            except NotTrained as untrained:
                waits = untrained.stage
        key = "" if parts is None else stage_key("train", parts)
        self._titles[key] = title
        folder = context.store / folder_name("train", key)
        problem = _problem(context, folder) if key else None
        result = stored_result(folder) if key and problem is None else None
        count = _count(pairs)
        if result is not None:
            self._add(context, title, key, folder, "hit", done=count or 0, total=count)
            return result
        settings = context.recipe.train
        changed, like = (
            _made_anew(problem, folder)
            if problem is not None
            else self._difference("train", parts, [context.recipe.loss], policy.backend)
        )
        begun = bool(key) and any((folder / "checkpoints").glob("checkpoint-*"))
        estimate = training(self._kept.of("train"), count, settings, parts)
        self._add(
            context,
            title,
            key,
            folder,
            "partial" if begun else "miss",
            total=count,
            estimate=estimate,
            total_basis="at most",
            changed=() if begun else changed,
            like="" if begun else like,
            waits=waits,
        )
        kind = "full" if settings.lora is None else "adapter"
        path = folder if key else context.store / f"untrained-{len(self.stages)}"
        self._models.will_be_trained(path / kind, title)
        return TrainResult(path / kind, cast("Any", kind), 0, (), {}, 0, (), 0.0)

    def _waiting(self, reads: Sequence[str]) -> str:
        """The stage that is waited for where a key that is read is not known."""
        if all(reads):
            return ""
        return next(each.waits_for for each in reversed(self.stages) if each.waits_for)

    def _hit(
        self, context: RunContext, stage: Stage[T, R], title: str, key: str, folder: StageFolder[R]
    ) -> StageRows[R]:
        try:
            info = folder.info()
            jobs, count, failed = (int(info[name]) for name in ("jobs", "rows", "failed"))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RunError(
                f"{folder.marker} cannot be read: {error}. Move the folder {folder.path} away; the "
                "stage is then done anew."
            ) from error
        context.digests[key] = rows_checksum(info)
        rows: ExampleRows[Any]
        rows = (
            prompt_examples(cast("Any", folder))
            if stage.name == "prompts"
            else FirstRows(folder, count)
        )
        self._add(context, title, key, folder.path, "hit", done=jobs, total=jobs)
        return StageRows(key, rows, Unread(failed), jobs, planned=True)

    def _missing(
        self,
        context: RunContext,
        stage: Stage[T, R],
        title: str,
        key: str,
        parts: Mapping[str, Any] | None,
        folder: StageFolder[R],
        waits: str,
        problem: str | None,
    ) -> StageRows[R]:
        done = _lines(folder.path / "part-00000.jsonl") if key else 0
        changed, like = (
            _made_anew(problem, folder.path)
            if problem is not None
            else self._difference(stage.name, parts, stage.components, stage.backend)
        )
        if stage.name == "prompts":
            rows: ExampleRows[Any] = counted_prompts(context.recipe)
            total = rows.count
            trial = Trial(0, 0, 0, 0, 0, ())
            answers = None
        else:
            total = None if self._uncounted and not stage.total else stage.total
            knows_answers = stage.backend is not None and key
            name = answers_name(context, stage) if knows_answers else "none"
            answers = StoredAnswers(context.store / name)
            seed, seed_name = context.recipe.seed, stage.seed_name or stage.name
            trial = try_out(stage.jobs(), answers, seed=seed, stage=seed_name)
            rows = _made(stage, trial, total, context.recipe.objectives)
        if stage.row_type is PreferencePair:
            rows = ExampleRows(tuple(rows), self._pairs(len(rows), total))
        self._uncounted = self._uncounted or rows.count is None
        estimate = estimated(stage, trial, total, done, answers, rows, self._kept, parts)
        if stage.row_type is VerdictRow:
            self._at_most = True
        self._add(
            context,
            title,
            key,
            folder.path,
            "partial" if done else "miss",
            done=done,
            total=total,
            estimate=estimate,
            total_basis="at most"
            if stage.row_type is PreferencePair and self._at_most
            else "known",
            changed=() if done else changed,
            like="" if done else like,
            waits=waits,
        )
        return StageRows(key, rows, Unread(0), total or 0, planned=True)

    def _pairs(self, tried: int, groups: int | None) -> int | None:
        """How many pairs there will be: as many a group as there were, else as stand-ins gave."""
        for kept in self._kept.of("pairs"):
            if groups is not None and kept.number("jobs") > 0:
                return math.ceil(groups * kept.number("rows") / kept.number("jobs"))
        return tried or None

    def _difference(
        self,
        stage: str,
        parts: Mapping[str, Any] | None,
        components: Sequence[ComponentSpec],
        backend: ComponentSpec | None,
    ) -> tuple[tuple[Change, ...], str]:
        """What differs from the stage in the store that is most like it, and that one's folder."""
        if parts is None:
            return (), ""
        kinds = [each.kind for each in components]
        reads = [self._titles.get(key, "") for key in parts["reads"]]
        fingerprints = {} if backend is None else self._models.told(backend)
        found: list[tuple[tuple[Change, ...], KeptStage]] = []
        other_schemes = []
        for kept in self._kept.of(stage):
            if not kept.parts:
                continue
            if kept.same_scheme:
                try:
                    told = key_changes(
                        stage, kept.parts, parts, kinds, reads, (kept.fingerprints, fingerprints)
                    )
                except (TypeError, ValueError, AttributeError, LookupError):
                    continue  # it came with an archive, and spa did not write it
                if told:
                    found.append((told, kept))
            else:
                other_schemes.append(kept)
        if found:
            changed, like = min(found, key=lambda each: len(each[0]))
            return changed, like.path.name
        for kept in other_schemes:
            old = kept.key.get("scheme")
            words = f"keys are made in another way now (scheme {old} -> {SCHEME})"
            return (Change("scheme", old, SCHEME, words),), kept.path.name
        return (), ""

    def _add(
        self,
        context: RunContext,
        title: str,
        key: str,
        folder: Path,
        status: Any,  # noqa: ANN401  # one of three words
        *,
        done: int = 0,
        total: int | None = None,
        estimate: Estimate | None = None,
        total_basis: str = "known",
        changed: tuple[Change, ...] = (),
        like: str = "",
        waits: str = "",
    ) -> None:
        figures = Estimate.nothing() if estimate is None else estimate
        basis = dict(figures.basis)
        if total is not None:
            basis["total"] = cast("Any", total_basis)
        self.stages.append(
            StagePlan(
                title=title,
                round=context.round,
                folder=folder.name if key else "",
                key=key,
                status=status,
                done=done,
                total=total,
                requests=figures.requests,
                prompt_tokens=figures.prompt_tokens,
                new_tokens=figures.new_tokens,
                seconds=figures.seconds,
                bytes=figures.bytes,
                basis=basis,
                changed=changed,
                like=like,
                waits_for=waits,
            )
        )


def _problem(context: RunContext, folder: Path) -> str | None:
    """Why a run would not take a committed stage, as far as can be told without reading it all."""
    return problem_of(folder, context.digests, thorough=False)


def _made_anew(problem: str, folder: Path) -> tuple[tuple[Change, ...], str]:
    words = f"{problem}: it is made anew from what is stored"
    return (Change("", words=words),), folder.name


def _made(
    stage: Stage[T, R], trial: Trial, total: int | None, objectives: Sequence[Objective]
) -> ExampleRows[R]:
    """Rows that later stages can be tried out on."""
    rows: list[Any] = []
    for job, value in trial.finished:
        try:
            rows += stage.rows(job, value)
        except Exception:  # what a component makes of stand-ins is no fault of it
            continue
    if stage.row_type is JudgedRow:  # a stand-in's text holds no score that could be read off it
        rows = [_judged(row, objectives) for row in rows]
    columns: dict[str, Sequence[tuple[Any, int]]] = {}
    if stage.row_type is VerdictRow:  # which groups will be dropped is not known: at most, none
        rows = [VerdictRow(row.prompt_id, True, "", "kept") for row in rows]
        columns = {"keep": ((True, total or 0),)}
    if total is None or (total and not trial.jobs):
        return ExampleRows(rows, None, columns)
    count = math.ceil(len(rows) / trial.jobs * total) if trial.jobs else 0
    return ExampleRows(rows, count, columns)


def _judged(row: JudgedRow, objectives: Sequence[Objective]) -> JudgedRow:
    scores = {}
    for objective in objectives:
        given = row.scores.get(objective.name)
        if given is None or given.value is None:
            seed = f"{row.response_id}|{objective.name}"
            given = Score(float(1 + crc32(seed.encode()) % 9))
        scores[objective.name] = given
    return JudgedRow(row.response_id, row.prompt_id, scores)


def _count(rows: StageRows[Any]) -> int | None:
    return rows.rows.count if isinstance(rows.rows, ExampleRows) else len(rows.rows)


def _lines(path: Path) -> int:
    """How many whole lines a file has; none if it is not there."""
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in _blocks(file))
    except OSError:
        return 0


def _blocks(file: Any) -> Iterator[bytes]:  # noqa: ANN401  # a binary file
    while block := file.read(1 << 20):
        yield block
