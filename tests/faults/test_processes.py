"""Several processes at one run or at shared stages, and clocks that jump."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from faulty.driving import Play, answers_on_disk, rows_of

if TYPE_CHECKING:
    from conftest import Undisturbed


def test_two_processes_on_one_run(play: Play, undisturbed: Undisturbed) -> None:
    both = [play.start(), play.start()]
    ends = [play.end(each) for each in both]
    assert [end.status for end in ends] == [0, 0]
    (refused,) = (end.error for end in ends if end.error is not None)
    assert "is being written by process" in refused
    assert rows_of(play) == undisturbed.rows
    assert answers_on_disk(play.runs) == undisturbed.answers
    assert play.files() == undisturbed.files


@pytest.mark.parametrize("seconds", [0.15, 0.6, 1.2])
def test_one_of_two_runs_that_share_all_stages_is_killed(
    play: Play, undisturbed: Undisturbed, seconds: float
) -> None:
    first, second = play.start("run"), play.start("other")
    time.sleep(seconds)
    os.kill(first[0], signal.SIGKILL)
    play.end(first)
    end = play.end(second)
    assert (end.status, end.error) == (0, None)
    assert rows_of(play, "other") == undisturbed.rows
    end = play.run()
    assert (end.status, end.error) == (0, None)
    assert rows_of(play) == undisturbed.rows
    assert answers_on_disk(play.runs) == undisturbed.answers


def test_a_clock_that_jumps(play: Play, undisturbed: Undisturbed) -> None:
    for number, stage in enumerate(("1/sample", "1/judge", "1/train", "2/refine")):
        assert play.run(clock=number, kill={stage: undisturbed.operations[stage] // 2}).status == -9
    end = play.run(clock=9)
    assert (end.status, end.error) == (0, None)
    assert rows_of(play) == undisturbed.rows
    assert answers_on_disk(play.runs) == undisturbed.answers
    manifest = play.manifest()
    assert 0 < manifest["seconds"] < 600
    assert all(0 <= stage["seconds"] < 600 for stage in manifest["stages"])
