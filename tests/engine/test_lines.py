"""What an append-only file holds after a process died."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.engine import lines
from spa.engine.lines import LineFile, seal, unseal
from spa.errors import RunError


def read(file: LineFile) -> list[Any]:
    return [json.loads(b"{" + body) for _, body in file.read()]


def test_lines_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "part.jsonl"
    with LineFile(path) as file:
        places = [file.append(b'{"a":1}'), file.append(b'{"b":[2]}')]
        assert [file.at(place) for place in places] == [b'"a":1}', b'"b":[2]}']
    with LineFile(path) as file:
        assert read(file) == [{"a": 1}, {"b": [2]}]
        assert [place for place, _ in file.read()] == places
    whole = [json.loads(line) for line in path.read_text().splitlines()]
    assert [sorted(line) for line in whole] == [["a", "crc"], ["b", "crc"]]


def test_a_line_in_parts_is_the_line(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    with LineFile(path) as file:
        places = [file.append(b'{"a":', b'"b","c":', b"[3]}"), file.append(b'{"d":4}')]
        assert [file.at(place) for place in places] == [b'"a":"b","c":[3]}', b'"d":4}']
    lines = path.read_bytes().split(b"\n")
    assert lines == [seal(b'{"a":"b","c":[3]}'), seal(b'{"d":4}'), b""]


@given(st.binary(max_size=50).filter(lambda text: b"\n" not in text))
def test_a_sealed_line_is_what_was_written_or_nothing(text: bytes) -> None:
    line = seal(b"{" + text)
    assert unseal(line) == text
    assert unseal(line[:-1]) is None
    assert unseal(text) is None


@given(cut=st.integers(0, 90))
def test_a_torn_last_line_is_cut_off_wherever_it_tears(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "part.jsonl"
    whole = b"".join(seal(b'{"%c":1}' % name) + b"\n" for name in b"abc")
    path.write_bytes(whole[:cut])
    with LineFile(path) as file:
        kept = read(file)
        file.append(b'{"d":4}')
    assert kept == [{"a": 1}, {"b": 1}, {"c": 1}][: whole[:cut].count(b"\n")]
    with LineFile(path) as file:
        assert read(file) == [*kept, {"d": 4}]


def test_a_torn_line_longer_than_the_read_block_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    path.write_bytes(seal(b'{"a":1}') + b"\n" + b"x" * 200_000)
    with LineFile(path) as file:
        assert read(file) == [{"a": 1}]


def test_lines_reach_the_disk_while_the_process_waits(tmp_path: Path) -> None:
    """A process that is killed while it waits for a model has lost nothing."""
    path = tmp_path / "part.jsonl"
    code = (
        "import sys, time; from pathlib import Path; from spa.engine.lines import LineFile; "
        "file = LineFile(Path(sys.argv[1])); file.append(b'{\"a\":1}'); print(flush=True); "
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(10 * lines.FLUSH_EVERY)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with LineFile(path) as file:
        assert read(file) == [{"a": 1}]


@pytest.mark.parametrize("waits", [0, 5 * lines.FLUSH_EVERY])
def test_a_file_that_was_forgotten_ends_its_thread(tmp_path: Path, waits: float) -> None:
    file = LineFile(tmp_path / "part.jsonl")
    file.append(b'{"a":1}')
    time.sleep(waits)
    file.flush()
    thread = file._flusher
    assert thread is not None
    file._reader.close()
    file._file.close()
    del file
    gc.collect()
    thread.join(timeout=10)
    assert not thread.is_alive()


@given(st.permutations(range(8)), st.integers(0, 8))
def test_many_lines_are_read_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], count: int
) -> None:
    with LineFile(tmp_path_factory.mktemp("many") / "part.jsonl") as file:
        places = [file.append(b'{"a":"%b"}' % (b"x" * number)) for number in range(8)]
        wanted = [places[number] for number in order[:count]]
        assert list(file.several(wanted)) == [(place, file.at(place)) for place in wanted]


def test_a_line_is_not_written_before_what_it_was_made_of(tmp_path: Path) -> None:
    full = tmp_path / "answers.jsonl"
    full.symlink_to("/dev/full")
    answers, rows = LineFile(full), LineFile(tmp_path / "rows.jsonl")
    rows.follow(answers)
    rows.append(b'{"made":"of nothing"}')
    rows.flush()
    answers.append(b'{"a":1}')
    rows.append(b'{"made":"of a"}')
    with pytest.raises(RunError, match="the disk is full"):
        rows.flush()
    with pytest.raises(RunError, match="the disk is full"):
        answers.flush()
    for file in (rows, answers):
        file.close()
    with LineFile(tmp_path / "rows.jsonl") as file:
        assert read(file) == [{"made": "of nothing"}]


def test_a_line_that_is_being_written_is_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "part.jsonl"
    path.write_bytes(lines.seal(b'{"a":1}') + b"\n" + lines.seal(b'{"a":2}')[:-3])
    assert [body for _, body in lines.sound_lines(path)] == [b'"a":1}']
    assert caplog.messages == []


def test_a_full_disk_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    path.symlink_to("/dev/full")
    message = (
        f"{path}: the disk is full. Free some space, or point --runs-dir at another disk, and run "
        "the same command again: rows that were finished are kept."
    )
    with LineFile(path) as file:
        file.append(b'{"a":1}')
        with pytest.raises(RunError) as caught:
            file.flush()
        assert str(caught.value) == message
        with pytest.raises(RunError) as caught:
            file.append(b'{"b":1}')
        assert str(caught.value) == message


@pytest.mark.parametrize("waits", [0, 10 * lines.FLUSH_EVERY])
def test_a_full_disk_that_shows_at_the_end_is_not_overlooked(tmp_path: Path, waits: float) -> None:
    path = tmp_path / "part.jsonl"
    path.symlink_to("/dev/full")
    file = LineFile(path)
    file.append(b'{"a":1}')
    time.sleep(waits)
    with pytest.raises(RunError, match="the disk is full"):
        file.close()
