"""The folder of one stage: rows as they come, then one parquet file and the commit marker.

::

    <stage>-<key>/part-00000.jsonl    while running: one finished job a line
                  failures.jsonl      jobs that could not be done, with the reason
                  data.parquet        all rows, in the order of the jobs
                  stage.json          the commit marker, written last
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from spa.engine.arrow import from_arrow, schema_of, to_arrow
from spa.engine.files import disk_errors, publish, unfinished, write_json
from spa.engine.lines import LineFile
from spa.types import RequestFailure

__all__ = ["RowWriter", "StageFolder"]

R = TypeVar("R")
CHUNK = 4096


@dataclass(frozen=True, slots=True)
class StageFolder(Generic[R]):
    """Where a stage keeps its rows.

    Attributes:
        path: The folder.
        row_type: The dataclass of its rows.
    """

    path: Path
    row_type: type[R]

    @property
    def marker(self) -> Path:
        """The commit marker: the stage is done once it is there."""
        return self.path / "stage.json"

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

        adapter = TypeAdapter(self.row_type)
        with pq.ParquetFile(self.path / "data.parquet") as file:
            for batch in file.iter_batches(CHUNK):
                for row in batch.to_pylist():
                    yield adapter.validate_python(from_arrow(row, self.row_type))

    def failures(self) -> dict[str, RequestFailure]:
        """The jobs that could not be done, with the reason, by job id."""
        path = self.path / "failures.jsonl"
        if not path.is_file():
            return {}
        with LineFile(path) as file:
            return {
                line["job"]: RequestFailure(line["reason"], line["message"]) for line in file.read()
            }


class RowWriter(Generic[R]):
    """Writes the rows of a stage that runs, and commits them."""

    def __init__(self, folder: StageFolder[R]) -> None:
        """Opens the part file; what an interrupted run left there counts as done.

        Raises:
            RunError: If the folder cannot be written.
        """
        self.folder = folder
        self.failures: dict[str, RequestFailure] = {}
        self._adapter = TypeAdapter(list[folder.row_type])  # type: ignore[name-defined]  # a run-time type
        self._part = LineFile(folder.path / "part-00000.jsonl")
        self._jobs: dict[str, list[Any]] = {line["job"]: line["rows"] for line in self._part.read()}
        with disk_errors(folder.path):
            # A job that failed is tried again when the stage goes on.
            (folder.path / "failures.jsonl").unlink(missing_ok=True)
        self._failed = LineFile(folder.path / "failures.jsonl")

    @property
    def done(self) -> frozenset[str]:
        """Ids of the jobs whose rows are on disk."""
        return frozenset(self._jobs)

    def kept(self) -> Iterator[R]:
        """Yields the rows that are on disk, as they came."""
        for stored in self._jobs.values():
            yield from self._adapter.validate_python(stored)

    def rows(self, job: str, rows: Sequence[R]) -> None:
        """Writes all rows of a finished job as one line.

        Raises:
            RunError: If the disk is full.
        """
        body = self._adapter.dump_json(list(rows))
        self._part.append(b'{"job":%s,"rows":%s}' % (json.dumps(job).encode(), body))
        self._jobs[job] = json.loads(body)

    def fail(self, job: str, failure: RequestFailure) -> None:
        """Notes a job that could not be done.

        Raises:
            RunError: If the disk is full.
        """
        self.failures[job] = failure
        line = {"job": job, "reason": failure.reason, "message": failure.message}
        self._failed.append(json.dumps(line, ensure_ascii=False).encode())

    def commit(self, order: Sequence[str], info: Mapping[str, Any]) -> None:
        """Writes the parquet file and the marker, then removes the part file.

        Args:
            order: Ids of all jobs; rows are stored in their order, whatever order they ended in.
            info: What the marker says besides the number of rows and failures.

        Raises:
            RunError: If the disk is full.
        """
        self.close()
        count = self._write_parquet([row for job in order for row in self._jobs.get(job, ())])
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
        write_json(self.folder.marker, facts)
        with disk_errors(self.folder.path):
            self._part.path.unlink(missing_ok=True)
            if not self.failures:
                self._failed.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the files; everything written stays.

        Raises:
            RunError: If the disk is full.
        """
        self._part.close()
        self._failed.close()

    def _write_parquet(self, rows: Sequence[Any]) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = schema_of(self.folder.row_type)
        final = self.folder.path / "data.parquet"
        with disk_errors(final), unfinished(final) as temporary:
            with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
                for start in range(0, len(rows), CHUNK):
                    chunk = [to_arrow(r, self.folder.row_type) for r in rows[start : start + CHUNK]]
                    writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
            publish(temporary, final)
        return len(rows)
