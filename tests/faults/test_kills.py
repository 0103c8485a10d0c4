"""A run whose process is killed again and again ends with what an undisturbed one makes."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from faulty.driving import Play, Report, answers_on_disk, by_request, rows_of

if TYPE_CHECKING:
    from conftest import Undisturbed

KILLED = -9
LATEST = 1.0
"""Seconds after which an answer must be on disk; 0.05 are meant, and machines may be busy."""


class Watch:
    """Counts what is asked in vain: nothing that is on disk is asked again."""

    def __init__(self, play: Play, undisturbed: Undisturbed) -> None:
        self._play = play
        self._due = by_request(undisturbed.answers)
        self._seen = 0
        self._before: Counter[str] = Counter()
        self.lost: list[int] = []
        """After each process, how many answers it had got that are not on disk."""

    def look(self) -> None:
        """To be called when a process has ended."""
        ended = time.monotonic()
        asked = self._play.asked()[self._seen :]
        self._seen += len(asked)
        keys = Counter(each.key for each in asked)
        assert keys <= self._due - self._before, "asked again, although the answer was on disk"
        now = by_request(answers_on_disk(self._play.runs))
        assert self._before <= now, "an answer is gone"
        kept = now - self._before
        lost = keys - kept
        for each in reversed(asked):
            if lost[each.key] > 0:
                lost[each.key] -= 1
                assert ended - each.at < LATEST, "an answer was not handed over in time"
        self.lost.append((keys - kept).total())
        self._before = now


def finished(play: Play, report: Report, undisturbed: Undisturbed) -> None:
    """Nothing is lost, nothing is there twice, and nothing is left lying about."""
    assert (report.status, report.error) == (0, None)
    assert rows_of(play) == undisturbed.rows
    assert answers_on_disk(play.runs) == undisturbed.answers
    assert play.files() == undisturbed.files


@pytest.mark.parametrize(
    ("seed", "each", "flush_bytes"),
    [(0, 2, 1), (1, 1, 300)],
    ids=["each row is written", "rows are gathered"],
)
def test_killed_at_operations_on_files_in_every_stage(
    play: Play, undisturbed: Undisturbed, seed: int, each: int, flush_bytes: int
) -> None:
    draw = random.Random(seed)
    plan = {
        stage: sorted((draw.randint(1, count) for _ in range(each)), reverse=True)
        for stage, count in undisturbed.operations.items()
    }
    watch = Watch(play, undisturbed)
    kills: Counter[str] = Counter()
    while True:
        report = play.run(
            kill={stage: left[-1] for stage, left in plan.items() if left},
            flush_bytes=flush_bytes,
        )
        watch.look()
        if report.status != KILLED:
            break
        stage = play.killed_in()
        plan[stage].pop()
        kills[stage] += 1
    finished(play, report, undisturbed)
    assert kills.total() >= 0.75 * each * len(plan)
    if flush_bytes == 1:  # else stages have fewer operations than were counted
        assert kills.keys() == plan.keys()
    if flush_bytes == 1:  # the one answer that was being written
        assert max(watch.lost) <= 1


def test_killed_at_moments(play: Play, undisturbed: Undisturbed) -> None:
    draw = random.Random(2)
    watch = Watch(play, undisturbed)
    kills = 0
    for number in range(12):
        # Later and later, so that a slow machine comes further each time, too.
        report = play.run_for(draw.uniform(0.02, 0.1 + 0.15 * number))
        watch.look()
        if report.status != KILLED:
            break
        kills += 1
    finished(play, play.run(), undisturbed)
    assert kills >= 4
