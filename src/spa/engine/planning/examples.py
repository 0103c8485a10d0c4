"""Rows that stand for those of a whole stage while a run is planned: the first few of them.

What is in the store is never read as a whole: a plan must not take longer the more rows there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Any, Generic, TypeVar

from spa.engine.store import StageFolder
from spa.types import Prompt, RequestFailure

__all__ = ["ExampleRows", "FirstRows", "Unread", "prompt_examples"]

R = TypeVar("R")

FIRST = 64
"""Rows of a stage in the store that may be looked at."""

EACH_SPLIT = 8
"""Prompts of each split that may be looked at."""


class ExampleRows(Collection[R]):
    """A few rows, counted as many."""

    def __init__(
        self,
        rows: Sequence[R],
        count: int | None,
        columns: Mapping[str, Sequence[tuple[Any, int]]] | None = None,
    ) -> None:
        """Takes the rows.

        Args:
            rows: The examples.
            count: How many rows the stage will have; None if that is not known.
            columns: Values of fields with the number of rows that have them.
        """
        self._rows = tuple(rows)
        self.count = count
        self._columns = columns or {}

    def __len__(self) -> int:
        """How many rows the stage will have; 0 if that is not known."""
        return self.count or 0

    def __iter__(self) -> Iterator[R]:
        """The examples alone."""
        return iter(self._rows)

    def __contains__(self, row: object) -> bool:
        """Whether it is one of the examples."""
        return row in self._rows

    def column(self, name: str) -> Iterator[Any]:
        """One field of every row."""
        if name in self._columns:
            return chain.from_iterable(repeat(*each) for each in self._columns[name])
        return (getattr(row, name) for row in self._rows)


class FirstRows(ExampleRows[R], Generic[R]):
    """The first rows of a stage in the store."""

    def __init__(self, folder: StageFolder[R], count: int) -> None:
        """Reads nothing yet.

        Args:
            folder: A committed stage.
            count: How many rows it has.
        """
        super().__init__((), count)
        self._folder = folder

    def __iter__(self) -> Iterator[R]:
        """Reads the first rows."""
        return iter(_first(self._folder))

    def column(self, name: str) -> Iterator[Any]:
        """Reads one field of every row."""
        return self._folder.column(name)


class Unread(Mapping[str, RequestFailure]):
    """Failures of a stage of which only the number is known."""

    def __init__(self, count: int) -> None:
        """Keeps the number."""
        self._count = count

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def __iter__(self) -> Iterator[str]:
        """Nothing: they are not read."""
        return iter(())

    def __getitem__(self, job: str) -> RequestFailure:
        """Nothing: they are not read."""
        raise KeyError(job)


def prompt_examples(folder: StageFolder[Prompt]) -> ExampleRows[Prompt]:
    """The first prompts of each split, and how many there are of each.

    Args:
        folder: The committed stage ``prompts``.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows: list[Prompt] = []
    with pq.ParquetFile(folder.path / "data.parquet") as file:
        splits = file.read(["split"]).column(0)
        counts = {each["values"]: each["counts"] for each in pc.value_counts(splits).to_pylist()}
        for split, count in counts.items():
            found: list[Prompt] = []
            for batch in file.iter_batches(4096):
                chosen = batch.filter(pc.equal(batch.column("split"), split))
                found += folder.codec.rows(chosen.slice(0, EACH_SPLIT - len(found)))
                if len(found) >= min(EACH_SPLIT, count):
                    break
            rows += found
    return ExampleRows(rows, sum(counts.values()), {"split": tuple(counts.items())})


def _first(folder: StageFolder[R]) -> list[R]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder.path / "data.parquet") as file:
        for batch in file.iter_batches(FIRST):
            return list(islice(folder.codec.rows(batch), FIRST))
    return []
