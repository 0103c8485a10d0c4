"""Disks that are full, fail or cannot be written: a clear error, and all goes on afterwards."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faulty.driving import Play, Report, answers_on_disk, rows_of
from faulty.injection import START

if TYPE_CHECKING:
    from conftest import Undisturbed

FULL = "the disk is full|No space left on device|the disk may be full"


def explained(report: Report) -> str:
    """The error of a process that ended by itself, for users to read."""
    assert report.status == 0
    assert report.error is not None
    assert "Traceback" not in report.error
    return report.error


def finished(play: Play, report: Report, undisturbed: Undisturbed) -> None:
    assert (report.status, report.error) == (0, None)
    assert rows_of(play) == undisturbed.rows
    assert answers_on_disk(play.runs) == undisturbed.answers
    assert play.files() == undisturbed.files


@pytest.mark.parametrize(
    ("name", "said"),
    [("ENOSPC", FULL), ("EIO", "Input/output error"), ("EROFS", "Read-only|write")],
)
def test_errors_of_the_disk_in_every_second_stage(
    play: Play, undisturbed: Undisturbed, name: str, said: str
) -> None:
    draw = random.Random(name)
    first = draw.randint(0, 1)
    failed = 0
    for stage in [*undisturbed.operations][first::2]:
        at = draw.randint(1, undisturbed.operations[stage] // 2)
        report = play.run(error={"name": name, "stage": stage, "at": at}, flush_bytes=1)
        if report.error is None:  # the last operation of its kind comes before
            continue
        failed += 1
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(explained(report))
    assert failed >= 6
    finished(play, play.run(), undisturbed)


def test_nothing_is_changed_where_nothing_can_be_written(
    play: Play, undisturbed: Undisturbed
) -> None:
    play.run(kill={"1/refine": 30})
    before = {name: (play.runs / name).read_bytes() for name in play.files()}
    report = play.run(error={"name": "EROFS", "stage": START})
    assert "no permission to write. Make the folder writable, or choose another" in explained(
        report
    )
    assert {name: (play.runs / name).read_bytes() for name in play.files()} == before
    finished(play, play.run(), undisturbed)


Mount = Callable[..., None]


@pytest.fixture
def mount(play: Play, tmp_path: Path) -> Iterator[Mount]:
    """A file system of its own for the runs; called again, it gets other options."""
    place = tmp_path / "small"
    place.mkdir()
    play.runs = place / "runs"

    def change(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"cannot mount, so only injected errors are tested: {done.stderr.strip()}")

    yield change
    subprocess.run(["umount", str(place)], check=False, capture_output=True)


def test_a_real_disk_that_fills_up_and_grows(
    play: Play, mount: Mount, undisturbed: Undisturbed
) -> None:
    size = 60
    mount(f"size={size}k")
    fills = 0
    while (report := play.run()).error is not None:
        with pytest.raises(AssertionError, match=FULL):
            raise AssertionError(explained(report))
        fills += 1
        size = size * 5 // 4
        mount(f"remount,size={size}k")
    assert fills >= 5
    finished(play, report, undisturbed)


def test_a_real_disk_that_turns_read_only(
    play: Play, mount: Mount, undisturbed: Undisturbed
) -> None:
    mount("size=20m")
    play.run(kill={"1/judge": 20})
    mount("remount,ro")
    assert "no permission to write. Make the folder writable" in explained(play.run())
    mount("remount,rw")
    finished(play, play.run(), undisturbed)
    mount("remount,ro")
    assert "no permission to write. Make the folder writable" in explained(play.run())
    assert rows_of(play) == undisturbed.rows
