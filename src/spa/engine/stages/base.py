"""Runs one stage: from jobs to committed rows, or straight from the store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from spa.contracts import Backend
from spa.engine.answers import AnswerLog
from spa.engine.asking import Finished, Job, Tally, drive
from spa.engine.checksums import CHECKSUMS
from spa.engine.collection import rare_collection
from spa.engine.context import RunContext, StageRecord
from spa.engine.damage import damage_of, other_input, set_aside, tidy
from spa.engine.editions import Earlier, RetriedStage, newest_edition
from spa.engine.failing import TooManyFailures
from spa.engine.files import disk_errors, write_json
from spa.engine.keys import KEY_FILE, edition_key, key_record, stage_key
from spa.engine.lock import writer_lock
from spa.engine.sources import SOURCES, note_sources, warn_of_drift
from spa.engine.store import RowWriter, StageFolder, StoredRows
from spa.errors import RunError, SpaError
from spa.recipe import ComponentSpec
from spa.types import JsonValue, RequestFailure

__all__ = [
    "SHORT_KEY",
    "Stage",
    "StageRows",
    "answers_name",
    "key_parts",
    "note_origin",
    "run_stage",
]

T = TypeVar("T")
R = TypeVar("R")
TELL_EVERY = 0.2  # seconds between progress events
SHORT_KEY = 16
_ASKED = ("asked", "replayed", "prompt_tokens", "new_tokens")


@dataclass(frozen=True, slots=True)
class Stage(Generic[T, R]):
    """What a stage is.

    Attributes:
        name: Its name, and the beginning of its folder's; part of its key.
        row_type: The dataclass of its rows.
        components: The components that it uses, in order.
        jobs: Its work, in the order of the prompts; ids are unique and stable.
        total: How many jobs there will be; None if that is not known.
        rows: Makes the rows of a finished job.
        reads: Keys of the stages that it reads.
        backend: The model that its components ask; None if they cannot ask.
        settings: What else changes its results.
        seed_name: Stages of the same seed name draw the same random numbers for the same job.
        unscored: Why a row counts as unscored, None if it does not; for stages that judge.
        title: How it is shown and what the manifest calls it; its name if empty. Stages of one
            name and key share their rows whatever their titles.
        details: What the manifest says of it besides.
    """

    name: str
    row_type: type[R]
    components: tuple[ComponentSpec, ...]
    jobs: Callable[[], Iterable[Job[T]]]
    total: int | None
    rows: Callable[[Job[T], T], Sequence[R]]
    reads: tuple[str, ...] = ()
    backend: ComponentSpec | None = None
    settings: Mapping[str, Any] | None = None
    seed_name: str = ""
    unscored: Callable[[R], str | None] | None = None
    title: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """How it is shown."""
        return self.title or self.name


@dataclass(frozen=True, slots=True)
class StageRows(Generic[R]):
    """A stage that is done.

    Attributes:
        key: Its cache key.
        rows: All its rows, in the order of its jobs. They are read from disk each time.
        failures: Jobs that could not be done, by id.
        jobs: How many jobs it had.
        planned: Whether nothing was carried out: the rows are then a few examples, made up where
            the stage is not in the store, and the key is empty where it cannot be known yet.
    """

    key: str
    rows: Collection[R]
    failures: Mapping[str, RequestFailure]
    jobs: int = 0
    planned: bool = False

    def column(self, name: str) -> Iterator[Any]:
        """One field of every row, in order."""
        stored: Callable[[str], Iterator[Any]] | None = getattr(self.rows, "column", None)
        if stored is not None:
            return stored(name)
        return (getattr(row, name) for row in self.rows)


def run_stage(context: RunContext, stage: Stage[T, R]) -> StageRows[R]:
    """Runs a stage, goes on with one that was interrupted, or takes it from the store.

    Where a run tries failed rows again, a stage from the store gets another edition.

    Raises:
        TooManyFailures: If more rows failed than the run takes.
        RunError: If every job failed, or rows cannot be written.
    """
    if context.planner is not None:
        return context.planner.stage(context, stage)
    started = time.monotonic()
    base = stage_key(stage.name, key_parts(context, stage))
    edition = context.editions.get(base, 0)
    key = edition_key(base, edition)
    if context.retry is not None:
        context.retry.refuse_another(context.round, stage.shown, key)
    folder = _folder(context, stage, key)
    cached = _carried_out(context, stage, folder, key, None)
    if cached and context.retry is not None and folder.info()["failed"]:
        newer = _tried_again(context, stage, base, edition)
        if newer is not None:
            edition, cached = newer
            context.editions[base], context.retry.changed = edition, True
            key = edition_key(base, edition)
            folder = _folder(context, stage, key)
    note_origin(context, stage, base, key)
    info = folder.info()
    context.digests[key] = info.get(CHECKSUMS, {}).get("data.parquet", "")
    rows = StoredRows(folder, int(info["rows"]))
    figures = {} if stage.unscored is None else {"unscored": info["unscored"]}
    seconds = time.monotonic() - started
    context.tell(
        "stage_finished",
        stage.shown,
        done=int(info["jobs"]),
        total=int(info["jobs"]),
        failed=int(info["failed"]),
        details={"cached": cached, "seconds": seconds, "rows": len(rows), **figures},
    )
    context.stages.append(
        StageRecord(
            name=stage.shown,
            round=context.round,
            key=key,
            folder=folder.path.name,
            cached=cached,
            rows=len(rows),
            failed=int(info["failed"]),
            failure_reasons=info["failure_reasons"],
            seconds=seconds,
            components=tuple(context.record(spec) for spec in stage.components),
            details={
                **{name: info[name] for name in _ASKED},
                **({"backend": info["backend"]} if info.get("backend") else {}),
                **stage.details,
                **figures,
                **({"edition": edition} if edition else {}),
            },
        )
    )
    failures = folder.failures()
    limit, jobs = context.limit, int(info["jobs"])
    if limit is not None and limit.passed(len(failures), jobs):
        raise TooManyFailures(stage.shown, limit, failures, jobs, committed=True)
    return StageRows(key, rows, failures, jobs)


def _problem(context: RunContext, folder: StageFolder[Any]) -> str | None:
    """Why a committed stage cannot be taken as it is."""
    problem = damage_of(folder.path)
    if problem is None and folder.is_committed and other_input(folder.info(), context.digests):
        return f"{folder.path} was made from other rows than those that its run reads now"
    return problem


def key_parts(
    context: RunContext, stage: Stage[T, R], reads: Sequence[str] | None = None
) -> dict[str, Any]:
    """What the key of a stage is made of.

    Args:
        context: The run.
        stage: The stage.
        reads: Keys of the stages that it reads, if not its own.
    """
    model = None if stage.backend is None else context.model_identity(stage.backend)
    return {
        "components": [context.identity(spec) for spec in stage.components],
        "model": model,
        "reads": list(stage.reads if reads is None else reads),
        "settings": dict(stage.settings or {}),
        "seed": context.recipe.seed,
    }


def answers_name(context: RunContext, stage: Stage[T, R]) -> str:
    """Name of the folder of raw answers: without the component, so that a new parser finds them.

    All editions of what a stage reads have one such folder: most of what is asked is the same.
    """
    model = None if stage.backend is None else context.model_identity(stage.backend)
    reads = [context.origins.get(key, key) for key in stage.reads]
    key = stage_key("answers", {"model": model, "reads": reads})
    return f"answers-{stage.name}-{key[:SHORT_KEY]}"


def _folder(context: RunContext, stage: Stage[T, R], key: str) -> StageFolder[R]:
    return StageFolder(context.store / f"{stage.name}-{key[:SHORT_KEY]}", stage.row_type)


def _specs(stage: Stage[T, R]) -> list[ComponentSpec]:
    """The components that make its rows, the backend that answers them included."""
    return [*stage.components, *(() if stage.backend is None else (stage.backend,))]


def note_origin(context: RunContext, stage: Stage[T, R], base: str, key: str) -> None:
    """Remembers which key the stage would have if no row had ever been tried again."""
    reads = [context.origins.get(each, each) for each in stage.reads]
    if key != base or reads != list(stage.reads):
        context.origins[key] = stage_key(stage.name, key_parts(context, stage, reads))


def _carried_out(
    context: RunContext,
    stage: Stage[T, R],
    folder: StageFolder[R],
    key: str,
    earlier: Earlier[R] | None,
) -> bool:
    """Carries a stage out unless it is committed, and says whether it was."""
    context.use(folder.path.name)
    if stage.backend is not None:
        context.use(answers_name(context, stage))
    if folder.is_committed and _problem(context, folder) is None:
        warn_of_drift(folder.path, stage.shown, folder.info().get("sources", {}), _specs(stage))
        tidy(folder.path)
        return True
    # Another run may be at this stage: then it is waited for, and its rows are taken.
    with writer_lock(folder.path, wait=True):
        if problem := _problem(context, folder):
            set_aside(folder.path, problem)
        if folder.is_committed:
            return True
        with rare_collection():
            _note_key(context, stage, folder, key)
            _run(context, stage, folder, key, earlier)
    return False


def _note_key(context: RunContext, stage: Stage[T, R], folder: StageFolder[R], key: str) -> None:
    """Says beside the rows what their key is made of, unless an earlier process did."""
    if not (folder.path / KEY_FILE).is_file():
        model = None if stage.backend is None else context.models.told(stage.backend)
        record = key_record(stage.name, key, key_parts(context, stage), model)
        write_json(folder.path / KEY_FILE, record)


def _tried_again(
    context: RunContext, stage: Stage[T, R], base: str, edition: int
) -> tuple[int, bool] | None:
    """Tries the failed rows of an edition again.

    Returns:
        The edition that came of it, and whether another run had made it; None if there is none, as
        no row was done.
    """
    retry = context.retry
    if retry is None or base in retry.visited:
        return None
    retry.visited.add(base)

    def of(number: int) -> StageFolder[R]:
        return _folder(context, stage, edition_key(base, number))

    earlier = Earlier(of(edition), retry.wants)
    if not earlier.again:
        return None
    newer = newest_edition(edition, lambda number: of(number).is_committed)
    stored = newer > edition
    context.use(of(newer).path.name)
    if not stored:
        newer = edition + 1
        stored = _carried_out(context, stage, of(newer), edition_key(base, newer), earlier)
    tried = len(earlier.failed if stored else earlier.again)
    if not of(newer).is_committed:
        retry.stages.append(RetriedStage(stage.shown, tried, 0, len(earlier.failed), stored))
        return None
    failed = int(of(newer).info()["failed"])
    done = len(earlier.failed) - failed
    retry.stages.append(RetriedStage(stage.shown, tried, done, failed, stored))
    return newer, stored


def _run(
    context: RunContext,
    stage: Stage[T, R],
    folder: StageFolder[R],
    key: str,
    earlier: Earlier[R] | None,
) -> None:
    """Runs the jobs that have no rows yet and commits, unless a retry got no row done."""
    started = time.monotonic()
    sources = note_sources(folder.path, stage.shown, _specs(stage))
    writer = RowWriter(folder)
    tally = Tally()
    counted: dict[str, float] = {}
    unscored = _Unscored(stage)
    left = _Left(stage, writer)
    limit = context.limit
    try:
        if stage.unscored is not None:
            unscored.add(writer.kept())
        if earlier is not None:
            ids = ((place, job.id) for place, job in enumerate(stage.jobs()))
            for row in earlier.carry_over(ids, writer):
                unscored.add((row,))
        done = writer.done + len(writer.failures)
        context.tell(
            "stage_started",
            stage.shown,
            done=done,
            total=stage.total,
            failed=len(writer.failures),
        )
        progress = _Progress(context, stage.shown, tally, unscored)
        for finished in _finished(context, stage, left, tally, counted, writer):
            unscored.add(_write(writer, stage, finished))
            done += 1
            failed = len(writer.failures)
            progress(done, stage.total, failed)
            if limit is not None and failed and limit.passed(failed, stage.total):
                raise TooManyFailures(
                    stage.shown, limit, writer.failures, stage.total, committed=False
                )
        if earlier is not None and len(writer.failures) == len(earlier.failed):
            return
        if left.seen and len(writer.failures) == left.seen:
            raise RunError(_all_failed(stage.shown, writer.failures))
        info = {
            "stage": stage.name,
            "key": key,
            "made_from": {k: d for k, d in context.digests.items() if k in stage.reads},
            "jobs": left.seen,
            "asked": tally.asked,
            "replayed": tally.replayed,
            "prompt_tokens": tally.prompt_tokens,
            "new_tokens": tally.new_tokens,
            "backend": counted,
            **unscored.figures(),
            "seconds": time.monotonic() - started,
            "sources": sources,
        }
        writer.commit(info)
        with disk_errors(folder.path):
            (folder.path / SOURCES).unlink(missing_ok=True)
    finally:
        writer.close()


class _Left(Generic[T]):
    """The jobs that have neither rows nor a failure yet, each with its place; counts all."""

    def __init__(self, stage: Stage[T, Any], writer: RowWriter[Any]) -> None:
        self._stage = stage
        self._writer = writer
        self.seen = 0

    def __iter__(self) -> Iterator[Job[T]]:
        for place, job in enumerate(self._stage.jobs()):
            self.seen += 1
            if not self._writer.has(place, job.id) and job.id not in self._writer.failures:
                yield Job(job.id, job.start, place, job.prompt_id)


def _finished(
    context: RunContext,
    stage: Stage[T, R],
    jobs: Iterable[Job[T]],
    tally: Tally,
    counted: dict[str, float],
    writer: RowWriter[R],
) -> Iterator[Finished[T]]:
    """Drives the jobs; the log of answers is opened only for stages that can ask.

    At the end ``counted`` has what the backend counted meanwhile.
    """
    spec = stage.backend
    if spec is None:
        yield from drive(jobs, _no_backend, _Nothing(), seed=0, stage=stage.name, tally=tally)
        return

    before: dict[str, float] | None = None

    def backend() -> Backend:
        nonlocal before
        opened = context.models.get(spec)
        if before is None:  # a backend may have worked for earlier stages
            before = dict(context.models.figures(spec))
        return opened

    answers = context.store / answers_name(context, stage)
    with writer_lock(answers, wait=True), closing(AnswerLog(answers / "part-00000.jsonl")) as log:
        writer.follow(log.file)
        yield from drive(
            jobs,
            backend,
            log,
            seed=context.recipe.seed,
            stage=stage.seed_name or stage.name,
            tally=tally,
        )
        if before is not None:
            after = context.models.figures(spec)
            counted.update({name: value - before.get(name, 0) for name, value in after.items()})


def _write(writer: RowWriter[R], stage: Stage[T, R], finished: Finished[T]) -> Sequence[R]:
    """Writes the rows of a finished job, or why there are none, and returns them."""
    if finished.failure is not None:
        writer.fail(finished.job.id, finished.failure)
        return ()
    try:
        rows = stage.rows(finished.job, finished.value)  # type: ignore[arg-type]  # no failure: a value
        writer.rows(finished.job.place, finished.job.id, rows)
    except SpaError:
        raise
    except Exception as error:
        problem = f"its component returned what cannot be kept: {type(error).__name__}: {error}"
        writer.fail(finished.job.id, RequestFailure("component_error", problem))
        return ()
    return rows


class _Unscored(Generic[R]):
    """Counts the rows of a judging stage that lack a score, by reason; nothing of others."""

    def __init__(self, stage: Stage[Any, R]) -> None:
        self._reason = stage.unscored
        self._counts: Counter[str] = Counter()

    def add(self, rows: Iterable[R]) -> None:
        """Counts rows in."""
        if self._reason is not None:
            self._counts.update(filter(None, map(self._reason, rows)))

    def figures(self) -> dict[str, JsonValue]:
        """What events and the manifest say."""
        return {} if self._reason is None else {"unscored": dict(self._counts)}


class _Progress:
    """Tells of progress, but not of every row."""

    def __init__(
        self, context: RunContext, stage: str, tally: Tally, unscored: _Unscored[Any]
    ) -> None:
        self.context, self.stage, self.tally, self.unscored = context, stage, tally, unscored
        self.started = self.told = time.monotonic()

    def __call__(self, done: int, total: int | None, failed: int) -> None:
        now = time.monotonic()
        if done != total and now - self.told < TELL_EVERY:
            return
        self.told = now
        seconds = max(now - self.started, 1e-9)
        tokens = self.tally.prompt_tokens + self.tally.new_tokens
        self.context.tell(
            "stage_progress",
            self.stage,
            done=done,
            total=total,
            failed=failed,
            details={
                "seconds": seconds,
                "tokens_per_second": tokens / seconds,
                **self.unscored.figures(),
            },
        )


def _all_failed(stage: str, failures: Mapping[str, RequestFailure]) -> str:
    job, first = next(iter(failures.items()))
    return (
        f"stage {stage}: none of {len(failures)} rows could be done. The first, {job}: "
        f"{first.message} ({first.reason})"
    )


def _no_backend() -> Backend:
    raise RunError(
        "a component of a stage without a model asked a model. "
        "Denoisers and pair builders cannot ask."
    )


class _Nothing:
    """A memory for stages that do not ask."""

    def find(self, key: str) -> None:
        del key

    def keep(self, key: str, result: object) -> None:
        del key, result
