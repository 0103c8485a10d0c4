"""From the lines of a stage to its parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from spa.engine.lines import Place
from spa.engine.records import RowCodec
from spa.errors import RunError

__all__ = ["CHUNK", "ROWS", "row_bodies", "write_table"]

CHUNK = 4096
"""Most jobs whose rows are read, or written, at once."""

ROWS = b',"rows":'
"""What stands before the rows of a job in its line."""

_CHUNK_BYTES = 1 << 23


def row_bodies(path: Path, lines: Iterable[tuple[Place, bytes | None]]) -> Iterator[bytes]:
    """The rows of each job as a JSON array.

    Args:
        path: The file that they are from, for errors.
        lines: What `spa.engine.lines.lines_at` yields.

    Raises:
        RunError: If a line is damaged.
    """
    for place, body in lines:
        if body is None:
            raise RunError(
                f"{path} was damaged while the stage ran (byte {place[0]}). Run the same command "
                "again: the rows that are sound are kept."
            )
        # Text of a JSON string cannot look so: its quotes are escaped.
        yield body[body.index(ROWS) + len(ROWS) : -1]


def write_table(codec: RowCodec[Any], bodies: Iterable[bytes], target: Path) -> int:
    """Writes a parquet file, and returns how many rows it has.

    Its bytes follow from the bodies and their order alone.

    Args:
        codec: Of the rows.
        bodies: What `row_bodies` yields.
        target: The file.

    Raises:
        OSError: If it cannot be written.
    """
    import pyarrow.parquet as pq

    count = 0
    with (
        pq.ParquetWriter(
            target, codec.schema, compression="zstd", write_page_checksum=True
        ) as file,
        ThreadPoolExecutor(1) as background,
    ):
        writing: Future[None] | None = None
        for chunk in _chunks(bodies):
            table = codec.table(chunk)
            count += table.num_rows
            if writing is not None:
                writing.result()
            # Compressing takes as long as reading the next chunk, without Python's lock.
            writing = background.submit(file.write_table, table)
        if writing is not None:
            writing.result()
    return count


def _chunks(bodies: Iterable[bytes]) -> Iterator[list[bytes]]:
    """As many as make a good table, or fewer where they are long."""
    chunk: list[bytes] = []
    size = 0
    for body in bodies:
        chunk.append(body)
        size += len(body)
        if len(chunk) == CHUNK or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
