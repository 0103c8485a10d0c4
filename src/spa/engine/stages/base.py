"""Takes a stage from the store, or has it carried out, once for all runs that share it."""

from __future__ import annotations

import time
from typing import TypeVar

from spa.engine.collection import rare_collection
from spa.engine.context import RunContext, StageRecord
from spa.engine.damage import problem_of, rows_checksum, set_aside, tidy
from spa.engine.editions import Earlier, RetriedStage, newest_edition
from spa.engine.failing import TooManyFailures
from spa.engine.files import write_json
from spa.engine.keys import KEY_FILE, edition_key, key_record, stage_key
from spa.engine.lock import writer_lock
from spa.engine.sources import warn_of_drift
from spa.engine.stages.driving import carry_out, components_of
from spa.engine.stages.naming import answers_name, key_parts, note_origin, stage_folder
from spa.engine.stages.stage import Stage, StageRows
from spa.engine.store import StageFolder, StoredRows

__all__ = ["run_stage"]

T = TypeVar("T")
R = TypeVar("R")
_ASKED = ("asked", "replayed", "prompt_tokens", "new_tokens")


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
    folder = stage_folder(context, stage, key)
    cached = _carried_out(context, stage, folder, key, None)
    if cached and context.retry is not None and folder.info()["failed"]:
        newer = _tried_again(context, stage, base, edition)
        if newer is not None:
            edition, cached = newer
            context.editions[base], context.retry.changed = edition, True
            key = edition_key(base, edition)
            folder = stage_folder(context, stage, key)
    note_origin(context, stage, base, key)
    info = folder.info()
    context.digests[key] = rows_checksum(info)
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
    if folder.is_committed and problem_of(folder.path, context.digests) is None:
        warn_of_drift(
            folder.path, stage.shown, folder.info().get("sources", {}), components_of(stage)
        )
        tidy(folder.path)
        return True
    # Another run may be at this stage: then it is waited for, and its rows are taken.
    with writer_lock(folder.path, wait=True):
        if problem := problem_of(folder.path, context.digests):
            set_aside(folder.path, problem)
        if folder.is_committed:
            return True
        with rare_collection():
            _note_key(context, stage, folder, key)
            carry_out(context, stage, folder, key, earlier)
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
        return stage_folder(context, stage, edition_key(base, number))

    earlier = Earlier(of(edition), retry.wants)
    if not earlier.again:
        return None
    newer = max(newest_edition(edition, lambda number: of(number).is_committed), edition + 1)
    stored = _carried_out(context, stage, of(newer), edition_key(base, newer), earlier)
    tried = len(earlier.failed if stored else earlier.again)
    if not of(newer).is_committed:
        retry.stages.append(RetriedStage(stage.shown, tried, 0, len(earlier.failed), stored))
        return None
    failed = int(of(newer).info()["failed"])
    done = len(earlier.failed) - failed
    retry.stages.append(RetriedStage(stage.shown, tried, done, failed, stored))
    return newer, stored
