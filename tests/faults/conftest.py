"""A process that forks runs, and what an undisturbed run makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty import recipe
from faulty.driving import Play, Report, Server, answers_on_disk, rows_of


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    found = Server(recipe.write(folder, tiny_folder), folder)
    yield found
    found.close()


@pytest.fixture
def play(server: Server, tmp_path: Path) -> Play:
    return Play(server, tmp_path)


@pytest.fixture(scope="session")
def undisturbed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    play = Play(server, tmp_path_factory.mktemp("undisturbed"))
    report = play.run(flush_bytes=1)
    assert (report.status, report.error) == (0, None)
    return Undisturbed(play, report)


class Undisturbed:
    """A run that nothing went wrong in.

    Attributes:
        rows: All that it made.
        operations: How many operations each stage had.
        kinds: The same by stage and kind.
        runs: Its folder of runs.
        answers: How often each answer lies on disk.
        files: All files that it left.
    """

    def __init__(self, play: Play, report: Report) -> None:
        self.runs = play.runs
        self._stages = {f"{s['round']}/{s['name']}": s for s in play.manifest()["stages"]}
        self.rows: dict[str, Any] = rows_of(play)
        self.operations = report.counts
        self.kinds = report.kinds
        self.answers = answers_on_disk(play.runs)
        self.files = play.files()

    def folder(self, stage: str) -> str:
        """Name of a stage's folder."""
        return str(self._stages[stage]["folder"])
