"""What an append-only file holds after a process died."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.engine.lines import LineFile
from spa.errors import RunError


def test_lines_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "part.jsonl"
    with LineFile(path) as file:
        file.append(b'{"a":1}')
        file.append(b"[2]")
    with LineFile(path) as file:
        assert list(file.read()) == [{"a": 1}, [2]]


@given(cut=st.integers(0, 40))
def test_a_torn_last_line_is_cut_off_wherever_it_tears(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "part.jsonl"
    whole = b'{"a":1}\n{"b":2}\n{"c":3}\n'
    path.write_bytes(whole[:cut])
    with LineFile(path) as file:
        kept = list(file.read())
        file.append(b'{"d":4}')
    assert kept == [{"a": 1}, {"b": 2}, {"c": 3}][: whole[:cut].count(b"\n")]
    with LineFile(path) as file:
        assert list(file.read()) == [*kept, {"d": 4}]


def test_a_torn_line_longer_than_the_read_block_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    path.write_bytes(b"[1]\n" + b"x" * 200_000)
    with LineFile(path) as file:
        assert list(file.read()) == [[1]]


def test_a_full_disk_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    path.symlink_to("/dev/full")
    with LineFile(path) as file, pytest.raises(RunError) as caught:
        file.append(b"{}")
    assert str(caught.value) == (
        f"{path}: the disk is full. Free some space, or point --runs-dir at another disk, and run "
        "the same command again: rows that were finished are kept."
    )
