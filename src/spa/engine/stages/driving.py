"""Carries out the jobs of a stage: from what is left to do to committed rows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from spa.contracts import Backend
from spa.engine.answers import AnswerLog
from spa.engine.asking import Finished, Job, Tally, drive
from spa.engine.context import RunContext
from spa.engine.damage import begin_from, clear_work
from spa.engine.editions import Earlier
from spa.engine.failing import TooManyFailures
from spa.engine.files import disk_errors
from spa.engine.lock import writer_lock
from spa.engine.sources import note_sources
from spa.engine.stages.naming import answers_name
from spa.engine.stages.stage import Stage
from spa.engine.store import RowWriter, StageFolder
from spa.errors import RunError, SpaError
from spa.recipe import ComponentSpec
from spa.types import JsonValue, RequestFailure, Result

__all__ = ["carry_out", "components_of"]

T = TypeVar("T")
R = TypeVar("R")
TELL_EVERY = 0.2  # seconds between progress events


def components_of(stage: Stage[T, R]) -> list[ComponentSpec]:
    """The components that make its rows, the backend that answers them included."""
    return [*stage.components, *(() if stage.backend is None else (stage.backend,))]


def carry_out(
    context: RunContext,
    stage: Stage[T, R],
    folder: StageFolder[R],
    key: str,
    earlier: Earlier[R] | None,
) -> None:
    """Runs the jobs that have no rows yet and commits, unless a retry got no row done.

    Raises:
        TooManyFailures: If more rows failed than the run takes.
        RunError: If every job failed, or rows cannot be written.
    """
    started = time.monotonic()
    begin_from(folder.path, context.made_from(stage.reads))
    sources = note_sources(folder.path, stage.shown, components_of(stage))
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
            "made_from": context.made_from(stage.reads),
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
            clear_work(folder.path)
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
    """Drives the jobs; the log of answers is opened when the first of them asks.

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

    with ExitStack() as stack:
        yield from drive(
            jobs,
            backend,
            _Answers(context.store / answers_name(context, stage), stack, writer),
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
        writer.fail(finished.job.id, finished.failure, place=finished.job.place)
        return ()
    try:
        rows = stage.rows(finished.job, finished.value)  # type: ignore[arg-type]  # no failure: a value
        writer.rows(finished.job.place, finished.job.id, rows)
    except SpaError:
        raise
    except Exception as error:
        problem = f"its component returned what cannot be kept: {type(error).__name__}: {error}"
        failure = RequestFailure("component_error", problem)
        writer.fail(finished.job.id, failure, place=finished.job.place)
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


class _Answers:
    """The answers of a stage, locked and opened when the first is looked for.

    A component that asks nothing, though it could, does not wait for another run's answers.
    """

    def __init__(self, folder: Path, stack: ExitStack, writer: RowWriter[Any]) -> None:
        self._folder = folder
        self._stack = stack
        self._writer = writer

    @cached_property
    def _log(self) -> AnswerLog:
        self._stack.enter_context(writer_lock(self._folder, wait=True))
        log = self._stack.enter_context(closing(AnswerLog(self._folder / "part-00000.jsonl")))
        self._writer.follow(log.file)
        return log

    def find(self, key: str) -> Result | None:
        return self._log.find(key)

    def keep(self, key: str, result: Result) -> None:
        self._log.keep(key, result)


class _Nothing:
    """A memory for stages that do not ask."""

    def find(self, key: str) -> None:
        del key

    def keep(self, key: str, result: object) -> None:
        del key, result
