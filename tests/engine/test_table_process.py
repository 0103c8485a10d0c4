"""A parquet file made while rows come is the one that is made at the end, or there is none."""

from __future__ import annotations

import itertools
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from spa.engine import store
from spa.engine.lines import LineFile
from spa.engine.store import RowWriter, StageFolder
from spa.engine.table_process import TableProcess
from spa.engine.tables import CHUNK
from spa.errors import RunError
from spa.types import RequestFailure, Response

JOBS = 200
PART = ["failures.jsonl", "part-00000.jsonl"]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PROCESS_FROM", 32)
    monkeypatch.setattr(store, "CHUNK", 16)
    monkeypatch.setattr(store, "PROCESS_AGE", 0)


def write(writer: RowWriter[Response], jobs: Iterable[int], text: str = "") -> None:
    for place in jobs:
        rows = [Response(f"{place}, {n}{text}", (place, n), id=f"p{place}/s{n}") for n in range(3)]
        writer.rows(place, f"p{place}", rows)


def begun(folder: Path, jobs: Iterable[int]) -> RowWriter[Response]:
    writer = RowWriter(StageFolder(folder, Response))
    write(writer, jobs)
    return writer


def committed(writer: RowWriter[Response]) -> bytes:
    writer.commit({"stage": "sample"})
    assert {each.name for each in writer.folder.path.iterdir()} <= {
        "data.parquet",
        "stage.json",
        "failures.jsonl",
    }
    return (writer.folder.path / "data.parquet").read_bytes()


def process_of(writer: RowWriter[Response]) -> subprocess.Popen[bytes]:
    assert writer._process is not None
    assert writer._process._process is not None
    return writer._process._process


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def until_it_writes(folder: Path) -> None:
    """Waits for the process to have opened its file."""
    for _ in range(1200):
        if any(name.endswith(".process.tmp") for name in names(folder)):
            return
        time.sleep(0.05)
    raise AssertionError("the process has not begun to write")


@pytest.mark.parametrize("jobs", [JOBS, 2 * CHUNK + 100])
def test_the_process_makes_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    # Jobs end in another order than they began in.
    mixed = sorted(range(jobs), key=lambda place: place ^ 5)
    lines = begun(tmp_path / "lines", mixed)
    lines._part.flush()
    alone = TableProcess(lines._part.path, Response, tmp_path / "alone.parquet")
    places = list(lines._jobs.places())
    alone.add(itertools.islice(places, 50))
    assert alone.finish(places[50:]) == 3 * jobs  # it made the file, and nobody else
    monkeypatch.setattr(store, "PROCESS_FROM", 1 << 30)
    plain = begun(tmp_path / "plain", range(jobs))
    assert plain._process is None
    data = committed(plain)
    assert (tmp_path / "alone.parquet").read_bytes() == data
    assert committed(lines) == data


def test_a_stage_is_made_by_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "spa.engine.table_process")
    writer = begun(tmp_path / "rows", range(JOBS))
    process = process_of(writer)
    committed(writer)
    assert process.returncode == 0
    assert caplog.records == []
    rows = list(writer.folder.read())
    assert [row.id for row in rows] == [f"p{p}/s{n}" for p in range(JOBS) for n in range(3)]


def test_jobs_that_failed_are_passed_over(tmp_path: Path) -> None:
    writer = RowWriter(StageFolder(tmp_path / "rows", Response))
    writer.fail("p1", RequestFailure("too_long", "It is too long."), place=1)
    write(writer, (place for place in range(JOBS) if place != 1))
    assert writer._told > JOBS - 2 * store.CHUNK
    committed(writer)
    assert len(list(writer.folder.read())) == 3 * (JOBS - 1)


def test_a_stage_that_goes_on_tells_of_what_was_there(tmp_path: Path) -> None:
    begun(tmp_path / "halves", range(JOBS // 2)).close()
    halves = begun(tmp_path / "halves", range(JOBS // 2, JOBS))
    assert halves._told > JOBS // 2
    assert committed(halves) == committed(begun(tmp_path / "whole", range(JOBS)))


def test_of_two_lines_of_a_job_the_later_counts(tmp_path: Path) -> None:
    writer = begun(tmp_path / "rows", range(JOBS))
    assert writer._told > 3
    write(writer, [3], " again")
    committed(writer)
    texts = [row.text for row in writer.folder.read() if row.id.startswith("p3/")]
    assert texts == ["3, 0 again", "3, 1 again", "3, 2 again"]


def test_a_process_that_was_killed_is_not_missed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "spa.engine.table_process")
    writer = begun(tmp_path / "killed", range(JOBS))
    until_it_writes(tmp_path / "killed")
    process_of(writer).kill()
    process_of(writer).wait()
    committed(writer)
    assert len(list(writer.folder.read())) == 3 * JOBS
    assert len(caplog.records) == 1


def test_one_that_had_no_time_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PROCESS_AGE", 3600)
    writer = begun(tmp_path / "rows", range(JOBS))
    process = process_of(writer)
    committed(writer)
    assert process.returncode == -signal.SIGKILL
    assert len(list(writer.folder.read())) == 3 * JOBS


def test_one_that_cannot_be_started_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, executable in enumerate((str(tmp_path / "none"), "")):
        monkeypatch.setattr(sys, "executable", executable)
        writer = begun(tmp_path / f"rows-{number}", range(JOBS))
        assert writer._process is not None
        assert writer._process._process is None
        committed(writer)
        assert len(list(writer.folder.read())) == 3 * JOBS


def test_a_line_damaged_meanwhile_is_named_by_who_commits(tmp_path: Path) -> None:
    writer = begun(tmp_path / "rows", range(48))
    with (tmp_path / "rows" / "part-00000.jsonl").open("r+b") as file:
        file.seek(-30, 2)
        file.write(b"#")
    write(writer, range(48, 60))
    with pytest.raises(RunError, match=r"was damaged while the stage ran \(byte \d+\)"):
        writer.commit({"stage": "sample"})
    writer.close()
    assert names(tmp_path / "rows") == PART


def test_a_stage_that_is_left_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    writer = begun(tmp_path / "rows", range(JOBS))
    process = process_of(writer)
    until_it_writes(tmp_path / "rows")
    writer.close()
    assert process.returncode is not None
    assert names(tmp_path / "rows") == PART


@pytest.mark.parametrize("torn", [b"", b"\x01\x02\x03"])
def test_the_process_ends_with_the_writer(tmp_path: Path, torn: bytes) -> None:
    with LineFile(tmp_path / "lines") as lines:
        place = lines.append(b'{"place":0,"job":"p","rows":[]}')
    writer = TableProcess(tmp_path / "lines", Response, tmp_path / "data.parquet")
    writer.add([place])
    process = writer._process
    assert process is not None
    assert process.stdin is not None
    until_it_writes(tmp_path)
    process.stdin.write(torn)
    process.stdin.close()  # as when the writer is killed
    assert process.wait(120) == 1
    assert names(tmp_path) == ["lines"]
    writer.close()


def test_nothing_waits_for_a_process_that_stands_still(tmp_path: Path) -> None:
    writer = begun(tmp_path / "rows", range(40))
    process = process_of(writer)
    process.send_signal(signal.SIGSTOP)
    assert writer._process is not None
    try:
        while writer._process.has_room:  # far more than a pipe holds
            writer._process.add([(1, 1)] * CHUNK)
        write(writer, range(40, JOBS))
        assert writer._told < JOBS // 2
    finally:
        writer.close()
    assert process.returncode is not None


def test_it_loads_no_model_library() -> None:
    code = (
        "import sys, spa.engine.table_process; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
