"""Editions of a stage: what ``spa retry`` makes of one in which rows failed.

The rows that a stage committed never change, as others read them under its key. A retry makes the
next edition beside them: the same rows, with those that failed tried again, under a key of its own.
Everything that reads an edition has its key among its own, so all of that is made anew, too.
Edition 0 is the stage as it was first carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from spa.engine.failing import worth_retrying
from spa.engine.rows import JudgedRow
from spa.engine.store import FailedJob, RowWriter, StageFolder
from spa.errors import RunError
from spa.types import Prompt, RequestFailure

__all__ = ["Earlier", "RetriedStage", "Retry", "newest_edition"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RetriedStage:
    """What came of trying the failed rows of one stage again.

    Attributes:
        stage: Its title.
        tried: Rows that were tried again.
        done: How many of them have their rows now.
        failed: Rows of the stage that are still failed, those that were not tried included.
        stored: Whether another run had tried them before, so that nothing was asked.
    """

    stage: str
    tried: int
    done: int
    failed: int
    stored: bool


@dataclass(slots=True)
class Retry:
    """That a run goes through its stages to try again what failed.

    Attributes:
        reasons: The reasons to try again; None: those that may pass.
        recorded: Round and title to the key that the run's stage had.
        changed: Whether a stage has another edition already, so that what reads it is made anew.
        stages: What came of it so far.
        visited: Keys of the stages that were looked at; one that a later round reads as well has
            one edition in a run.
    """

    reasons: frozenset[str] | None = None
    recorded: Mapping[tuple[int, str], str] = field(default_factory=dict)
    changed: bool = False
    stages: list[RetriedStage] = field(default_factory=list)
    visited: set[str] = field(default_factory=set)

    def wants(self, reason: str) -> bool:
        """Whether rows that failed for this reason are tried again."""
        return worth_retrying(reason) if self.reasons is None else reason in self.reasons

    def refuse_another(self, number: int, title: str, key: str) -> None:
        """Makes sure that a stage is the one that the run had, while nothing was tried again.

        Raises:
            RunError: If it would be made anew as a whole.
        """
        before = self.recorded.get((number, title))
        if before is None or before == key or self.changed:
            return
        raise RunError(
            f"stage {title} would be made anew as a whole, not just the rows that failed: its "
            "model, its prompts or a component's revision is another one than when the run was "
            "made. Put that back, or run the recipe again with: spa run"
        )


def newest_edition(after: int, committed: Callable[[int], bool]) -> int:
    """The newest edition in the store after one that is there."""
    while committed(after + 1):
        after += 1
    return after


class Earlier(Generic[R]):
    """The edition before, and which of its failed jobs are tried again."""

    def __init__(self, folder: StageFolder[R], wants: Callable[[str], bool]) -> None:
        """Reads which jobs failed.

        Args:
            folder: A committed edition.
            wants: Whether jobs that failed for a reason are tried again.
        """
        self._folder = folder
        self.failed = folder.failed_jobs()
        self.again: Collection[str] = {
            job for job, each in self.failed.items() if wants(each.reason)
        }

    def carry_over(self, jobs: Iterator[tuple[int, str]], writer: RowWriter[R]) -> Iterator[R]:
        """Writes what is kept of it to the next edition, and yields the rows that were written.

        Args:
            jobs: Place and id of all jobs, in order.
            writer: Of the next edition; what it has already is not written again.

        Raises:
            RunError: If rows belong to no job, so that nothing is known of them.
        """
        for name, each in self.failed.items():
            writer.tried(name, each.attempts)
        rows = _Groups(self._folder.read())
        for place, job in jobs:
            own = rows.of(job)
            if job in self.again or writer.has(place, job):
                continue
            if job in self.failed:
                _note(writer, place, self.failed[job])
            else:
                writer.rows(place, job, own)
                yield from own
        if rows.left:
            raise RunError(
                f"{self._folder.path}: rows of {rows.left} belong to no job of the stage, so its "
                "failed rows cannot be tried again. Has a component changed under the same "
                "revision? Delete the folder and run the recipe again to make the stage anew."
            )


def _note(writer: RowWriter[Any], place: int, failed: FailedJob) -> None:
    failure = RequestFailure(failed.reason, failed.message)
    writer.fail(failed.job, failure, failed.attempts, place)


class _Groups(Generic[R]):
    """Rows of one job after the other."""

    def __init__(self, rows: Iterator[R]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, job: str) -> list[R]:
        """The rows of the next job; none if it has none."""
        own: list[R] = []
        while self._next is not None and _job_of(self._next) == job:
            own.append(self._next)
            self._next = next(self._rows, None)
        return own

    @property
    def left(self) -> str | None:
        """The job of the next row, None if all were taken."""
        return None if self._next is None else repr(_job_of(self._next))


def _job_of(row: Any) -> str:  # noqa: ANN401  # rows of any stage
    """The id of the job that a row came from."""
    match row:
        case JudgedRow():
            return row.response_id
        case Prompt():
            return row.id
        case _:
            owner: str = row.prompt_id
            return owner
