"""The folder of one stage: rows as they come, then one parquet file and the commit marker.

::

    <stage>-<key>/part-00000.jsonl    while running: one finished job a line
                  failures.jsonl      jobs that could not be done: reason, message, attempts
                  data.parquet        all rows, in the order of the jobs
                  stage.json          the commit marker, written last

However many rows there are, memory holds 16 bytes a job and a chunk of rows. The parquet file of a
large stage is made by a process of its own, while rows still come (`spa.engine.table_process`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from spa.engine.checksums import with_checksums
from spa.engine.damage import drop_damaged
from spa.engine.files import disk_errors, publish, unfinished, write_json
from spa.engine.job_lines import JobLines
from spa.engine.lines import LineFile, seal, sound_lines
from spa.engine.records import RowCodec
from spa.engine.table_process import TableProcess
from spa.engine.tables import CHUNK, ROWS, row_bodies, write_table
from spa.errors import RunError
from spa.types import RequestFailure

__all__ = ["FailedJob", "RowWriter", "StageFolder", "StoredRows"]

R = TypeVar("R")

PROCESS_FROM = 1 << 14
"""Jobs with rows from which on the parquet file is made while others are still under way."""

PROCESS_AGE = 2.0
"""Seconds that the process has had at the least, or it is not waited for: it starts in one."""

_MOST_TOLD = 16 * CHUNK  # at once: a stage that goes on has many lines from the start


class FailedJob(msgspec.Struct, frozen=True):
    """A job that could not be done: a line of ``failures.jsonl``.

    Attributes:
        job: Its id.
        reason: A stable code.
        message: What was wrong and what to do about it.
        attempts: How often it was tried, over all starts of the stage.
    """

    job: str
    reason: str
    message: str
    attempts: int = 1


class _Head(msgspec.Struct):
    """Which job a line is of; its rows are skipped."""

    place: int
    job: str


_head = msgspec.json.Decoder(_Head)
_failed = msgspec.json.Decoder(FailedJob)
_text = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class StageFolder(Generic[R]):
    """Where a stage keeps its rows.

    Attributes:
        path: The folder.
        row_type: The dataclass of its rows.
    """

    path: Path
    row_type: type[R]

    @cached_property
    def codec(self) -> RowCodec[R]:
        """Writes and reads its rows."""
        return RowCodec(self.row_type)

    @property
    def marker(self) -> Path:
        """The commit marker: the stage is done once it is there."""
        return self.path / "stage.json"

    @property
    def _data(self) -> Path:
        return self.path / "data.parquet"

    @property
    def is_committed(self) -> bool:
        """Whether all rows are there."""
        return self.marker.is_file()

    def info(self) -> dict[str, Any]:
        """What the commit marker says."""
        content: dict[str, Any] = json.loads(self.marker.read_text(encoding="utf-8"))
        return content

    def read(self) -> Iterator[R]:
        """Yields the rows of a committed stage in order."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._data, page_checksum_verification=True) as file:
            for batch in file.iter_batches(CHUNK):
                yield from self.codec.rows(batch)

    def column(self, name: str) -> Iterator[Any]:
        """Yields one field of every row, without reading the others."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._data, page_checksum_verification=True) as file:
            for batch in file.iter_batches(CHUNK, columns=[name]):
                yield from batch.column(0).to_pylist()

    def failed_jobs(self) -> dict[str, FailedJob]:
        """The last failure of every job that has one, by job id; writes nothing.

        While the stage is not committed, some of them may have been done since.
        """
        path = self.path / "failures.jsonl"
        if not path.is_file():
            return {}
        found = (_failed.decode(b"{" + body) for _, body in sound_lines(path))
        return {each.job: each for each in found}

    def failures(self) -> dict[str, RequestFailure]:
        """The jobs that could not be done, with the reason, by job id."""
        failed = self.failed_jobs()
        return {job: RequestFailure(each.reason, each.message) for job, each in failed.items()}


class StoredRows(Collection[R]):
    """The rows of a committed stage, read anew each time they are gone through."""

    def __init__(self, folder: StageFolder[R], count: int) -> None:
        """Reads nothing yet.

        Args:
            folder: A committed stage.
            count: How many rows it has.
        """
        self._folder = folder
        self._count = count

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    def __iter__(self) -> Iterator[R]:
        """Reads them in order."""
        return self._folder.read()

    def __contains__(self, row: object) -> bool:
        """Whether one of them equals a row."""
        return any(each == row for each in self)

    def column(self, name: str) -> Iterator[Any]:
        """Reads one field of every row, in order."""
        return self._folder.column(name)


class RowWriter(Generic[R]):
    """Writes the rows of a stage that runs, and commits them."""

    def __init__(self, folder: StageFolder[R]) -> None:
        """Opens the part file; what an interrupted run left there counts as done.

        Raises:
            RunError: If the folder cannot be written.
        """
        self.folder = folder
        self.failures: dict[str, RequestFailure] = {}
        self._part = LineFile(folder.path / "part-00000.jsonl")
        self._process: TableProcess | None = None
        self._told = 0  # the process knows the lines of all jobs before this place
        self._jobs = JobLines()
        for place, body in self._part.read():
            head = _head.decode(b"{" + body)
            self._jobs.add(head.place, head.job, place)
        # A job that failed is tried again when the stage goes on; how often it was is kept.
        self._failed = LineFile(folder.path / "failures.jsonl")
        self._attempts = {job: each.attempts for job, each in folder.failed_jobs().items()}

    @property
    def done(self) -> int:
        """How many jobs have their rows on disk."""
        return self._jobs.count

    def has(self, place: int, job: str) -> bool:
        """Whether the rows of a job are on disk.

        Args:
            place: Its place among all jobs of the stage.
            job: Its id.
        """
        return self._jobs.has(place, job)

    def kept(self) -> Iterator[R]:
        """Yields the rows that are on disk, in the order of the jobs."""
        for body in self._bodies():
            yield from self.folder.codec.decode(body)

    def rows(self, place: int, job: str, rows: Sequence[R]) -> None:
        """Writes all rows of a finished job as one line.

        Args:
            place: The job's place among all jobs of the stage, from 0.
            job: Its id.
            rows: Its rows.

        Raises:
            RunError: If the disk is full.
            TypeError: If a row holds what its type does not allow.
        """
        body = self.folder.codec.encode(rows)
        head = b'{"place":%d,"job":%b%b' % (place, _text(job), ROWS)
        self._jobs.add(place, job, self._part.append(head, body, b"}"))
        if place < self._told:
            self._drop_process()
        elif self._jobs.count % CHUNK == 0:
            self._tell_process()

    def follow(self, answers: LineFile) -> None:
        """Writes rows only after the answers that they were made of.

        Args:
            answers: Where those are kept before any row is written.
        """
        self._part.follow(answers)

    def fail(
        self,
        job: str,
        failure: RequestFailure,
        attempts: int | None = None,
        place: int | None = None,
    ) -> None:
        """Notes a job that could not be done.

        Args:
            job: Its id.
            failure: Why.
            attempts: How often it was tried; one more than is noted so far by default.
            place: Its place among all jobs, so that nothing waits for its rows.

        Raises:
            RunError: If the disk is full.
        """
        # Half of a surrogate pair, as broken replies hold, has no form in a file.
        message = failure.message.encode("utf-8", "replace").decode()
        self.failures[job] = RequestFailure(failure.reason, message)
        tried = self._attempts.get(job, 0) + 1 if attempts is None else attempts
        self._attempts[job] = tried
        line = FailedJob(job, failure.reason, message, tried)
        self._failed.append(msgspec.json.encode(line))
        if place is not None:
            self._jobs.without.add(place)

    def tried(self, job: str, attempts: int) -> None:
        """Notes how often a job was tried elsewhere, before it is tried here."""
        self._attempts[job] = max(attempts, self._attempts.get(job, 0))

    def commit(self, info: Mapping[str, Any]) -> None:
        """Writes the parquet file and the marker, then removes the part file.

        Args:
            info: What the marker says besides the number of rows and failures.

        Raises:
            RunError: If the disk is full, another process wrote rows of the same stage, or lines
                that were written cannot be read back.
        """
        if self._part.shared:
            raise RunError(
                f"{self.folder.path}: another run worked on this stage at the same time. Wait "
                "until that one has ended, then run the same command again: all rows are kept."
            )
        count = self._write_parquet()
        self.close()
        self._write_failures()
        reasons: dict[str, int] = {}
        for failure in self.failures.values():
            reasons[failure.reason] = reasons.get(failure.reason, 0) + 1
        facts = {
            "format": 1,
            **info,
            "rows": count,
            "failed": len(self.failures),
            "failure_reasons": reasons,
            "committed_at": time.time(),
        }
        files = ["data.parquet", *(["failures.jsonl"] if self.failures else [])]
        write_json(self.folder.marker, with_checksums(self.folder.path, facts, files))
        with disk_errors(self.folder.path):
            self._part.path.unlink(missing_ok=True)
            drop_damaged(self.folder.path)

    def close(self) -> None:
        """Closes the files; everything written stays.

        Raises:
            RunError: If the disk is full.
        """
        try:
            self._part.close()
        finally:
            self._failed.close()
            self._drop_process()

    def _bodies(self) -> Iterator[bytes]:
        """The rows of every job as a JSON array, in the order of the jobs."""
        return row_bodies(self._part.path, self._part.several(self._jobs.places()))

    def _write_failures(self) -> None:
        """Leaves one line for every job that could not be done, and none for those that were."""
        path = self._failed.path
        with disk_errors(path), unfinished(path) as temporary:
            if not self.failures:
                path.unlink(missing_ok=True)
                return
            with temporary.open("wb") as file:
                for job, each in self.failures.items():
                    line = FailedJob(job, each.reason, each.message, self._attempts[job])
                    file.write(seal(msgspec.json.encode(line)) + b"\n")
            publish(temporary, path)

    def _write_parquet(self) -> int:
        final = self.folder._data
        if self._process is not None and self._process.age < PROCESS_AGE:
            self._drop_process()
        elif self._process is not None:
            with disk_errors(final):
                count = self._process.finish(self._jobs.places(self._told))
            if count is not None:
                return count
        with disk_errors(final), unfinished(final) as temporary:
            count = write_table(self.folder.codec, self._bodies(), temporary)
            publish(temporary, final)
        return count

    def _tell_process(self) -> None:
        """Tells the process that makes the table of the lines that came since."""
        if self._process is None:
            if self._jobs.count < PROCESS_FROM:
                return
            self._process = TableProcess(self._part.path, self.folder.row_type, self.folder._data)
        if self._process.has_room:
            ready = min(self._jobs.ready(self._told), self._told + _MOST_TOLD)
            self._part.flush()
            self._process.add(self._jobs.places(self._told, ready))
            self._told = ready

    def _drop_process(self) -> None:
        """Ends the process, if there is one; nothing that it is told from now on counts."""
        if self._process is not None:
            self._process.close()
            self._told = 0
