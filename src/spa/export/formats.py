"""What a format of preference pairs is, and what those written as parquet have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spa.export.pairs import ExportedPair
from spa.types import Prompt

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FIGURES", "PairFormat", "figures", "messages", "scores", "write_parquet"]

CHUNK = 1024
FIGURES = {
    "margin": "sum over the objectives of the absolute difference of the two scores",
    "gap": "absolute difference of the two sums of scores, by which the SPA loss weighs pairs",
    "round": "round of the run, from 1; ids of responses are unique in a round only",
}
"""Columns that every format has, with their meaning."""


class PairFormat(Protocol):
    """Writes pairs for one kind of reader.

    Attributes:
        name: As it is typed after ``--format``.
        tags: What the dataset card is tagged with besides the tags that all have.
    """

    name: str
    tags: tuple[str, ...]

    def file(self, run: str) -> str:
        """Name of the data file, for a run of that name."""
        ...

    def obstacle(self, pair: ExportedPair) -> str | None:
        """A stable code for why a pair cannot be written in this format; None if it can."""
        ...

    def columns(self, objectives: Sequence[str]) -> Mapping[str, str]:
        """Every column with its meaning, in order."""
        ...

    def write(
        self, folder: Path, run: str, objectives: Sequence[str], pairs: Sequence[ExportedPair]
    ) -> None:
        """Writes all files but the card.

        Raises:
            OSError: If the disk is full or the folder cannot be written.
        """
        ...

    def load(self, folder: str, run: str) -> str:
        """How to load the folder, in one line."""
        ...

    def example(self, folder: str, run: str) -> str:
        """How to use it, as a fenced block of Markdown for the card."""
        ...


def messages(prompt: Prompt) -> list[dict[str, str]]:
    """The turns of a prompt as chat templates take them."""
    return [{"role": turn.role, "content": turn.content} for turn in prompt.messages]


def scores(objectives: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """K scores by the names of their objectives."""
    return dict(zip(objectives, values, strict=True))


def figures(item: ExportedPair) -> dict[str, float | int]:
    """The values of `FIGURES`."""
    return {"margin": item.pair.margin, "gap": item.pair.gap, "round": item.round}


def write_parquet(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes rows in chunks, compressed as every reader of parquet understands.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        left = iter(rows)
        while chunk := list(islice(left, CHUNK)):
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
