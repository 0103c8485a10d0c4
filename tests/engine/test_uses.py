"""Runs note which folders of the store they use, before they look into them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spa.engine.checksums import file_checksum, is_sealed, with_checksums
from spa.engine.uses import FILE, UseLog, noted_uses


def test_each_folder_is_noted_once_also_by_the_next_process(tmp_path: Path) -> None:
    for _ in range(2):
        log = UseLog(tmp_path / "run")
        for name in ("prompts-1", "sample-2", "prompts-1"):
            log.add(name)
    assert noted_uses(tmp_path / "run") == (frozenset({"prompts-1", "sample-2"}), True)
    assert len((tmp_path / "run" / FILE).read_text().splitlines()) == 2


def test_a_run_of_before_noted_nothing(tmp_path: Path) -> None:
    assert noted_uses(tmp_path) == (None, True)


def test_a_torn_last_line_is_no_damage(tmp_path: Path) -> None:
    UseLog(tmp_path).add("a-1")
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes() + b'{"crc":"00')
    assert noted_uses(tmp_path) == (frozenset({"a-1"}), True)
    UseLog(tmp_path).add("b-2")
    assert noted_uses(tmp_path) == (frozenset({"a-1", "b-2"}), True)


def test_a_flipped_bit_is_damage(tmp_path: Path) -> None:
    UseLog(tmp_path).add("a-1")
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes().replace(b"a-1", b"a-3"))
    assert noted_uses(tmp_path) == (frozenset(), False)


@pytest.mark.parametrize("change", [{"rows": 4}, {"more": 1}, {"checksums": {}}])
def test_a_marker_that_was_changed_is_found_out(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "data").write_bytes(b"rows")
    marker = with_checksums(tmp_path, {"rows": 3, "note": "ü", "x": float("nan")}, ["data"])
    assert marker["checksums"] == {"data": file_checksum(tmp_path / "data")}
    read = json.loads(json.dumps(marker))
    assert is_sealed(read) is True
    assert is_sealed(read | change) is False
    assert is_sealed({"rows": 3}) is None


def test_a_run_that_used_nothing_yet_says_so(tmp_path: Path) -> None:
    UseLog(tmp_path).begin()
    assert noted_uses(tmp_path) == (frozenset(), True)
