"""A run that a report is about, with what was read of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from spa.engine.stored_run import StoredRun
from spa.report.headline import Change, headline
from spa.report.reading import Reading, read_run
from spa.types import Objective
from spa.viewing.examples import Reader

__all__ = ["Subject", "subjects_of"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One run of a report.

    Attributes:
        place: Its place among the runs, from 0.
        label: Its name, and its folder where another run has the same name.
        run: The run.
        reading: What its examples say.
        changes: The headline.
    """

    place: int
    label: str
    run: StoredRun
    reading: Reading
    changes: Sequence[Change]

    @property
    def objectives(self) -> Sequence[Objective]:
        """Most important first."""
        return self.reading.reader.objectives

    def change(self, name: str) -> Change | None:
        """What became of an objective; None where there is no value for both models."""
        found = next((change for change in self.changes if change.name == name), None)
        if found is None or None in (found.before.value, found.after.value):
            return None
        return found


def subjects_of(runs: Sequence[StoredRun], number: int | None, most: int | None) -> list[Subject]:
    """Reads runs.

    Args:
        runs: In the order of the report.
        number: The round to read of each; None: the last one that sampled.
        most: Examples to keep of all runs together; None: no example is read.

    Raises:
        UsageError: If a run has no such round.
        RunError: If not even the prompts of a run were read.
    """
    readers = [Reader(run, number) for run in runs]
    names = Counter(run.name for run in runs)
    return [
        Subject(
            place,
            reader.run.name if names[reader.run.name] == 1 else str(reader.run.folder),
            reader.run,
            read_run(reader, None if most is None else _share(most, place, len(runs))),
            headline(reader.run),
        )
        for place, reader in enumerate(readers)
    ]


def _share(most: int, place: int, runs: int) -> int:
    return most // runs + (place < most % runs)
