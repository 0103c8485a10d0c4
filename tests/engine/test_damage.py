"""Commits that are not what was written are found out, set aside and cleared away."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from spa.engine import damage
from spa.engine.damage import (
    ASIDE,
    begin_from,
    clear_work,
    damage_of,
    drop_damaged,
    problem_of,
    rows_checksum,
    set_aside,
    tidy,
)
from spa.engine.files import write_json
from spa.engine.lock import FILE, writer_lock
from spa.engine.store import RowWriter, StageFolder
from spa.types import Prompt


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A committed stage of one row."""
    stage = StageFolder(tmp_path / "s", Prompt)
    writer = RowWriter(stage)
    writer.rows(0, "a", [Prompt("a", ())])
    writer.commit({})
    return stage.path


def test_a_sound_commit_has_no_damage(folder: Path, tmp_path: Path) -> None:
    assert damage_of(folder) is None
    assert damage_of(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", ["data.parquet", "stage.json"])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_every_flipped_bit_is_found(folder: Path, name: str, place: float) -> None:
    file = folder / name
    content = bytearray(file.read_bytes())
    content[int(len(content) * place)] ^= 1
    file.write_bytes(content)
    problem = damage_of(folder)
    assert problem is not None
    assert problem.startswith(str(file))


def test_a_file_that_is_gone(folder: Path) -> None:
    (folder / "data.parquet").unlink()
    assert damage_of(folder) == (
        f"{folder / 'data.parquet'} cannot be read (No such file or directory)"
    )


def test_a_marker_from_before_there_were_checksums_counts_as_sound(folder: Path) -> None:
    write_json(folder / "stage.json", {"format": 1, "rows": 1})
    assert damage_of(folder) is None


def test_what_is_set_aside_is_kept_until_the_stage_is_committed_anew(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with writer_lock(folder):
        set_aside(folder, f"{folder / 'data.parquet'} is not what was written")
        assert (folder / FILE).is_file()
    assert caplog.messages == [
        f"{folder / 'data.parquet'} is not what was written. The stage is made anew from what is "
        f"stored; the old files are kept in {folder / ASIDE} until then. Is the disk sound?"
    ]
    assert names(folder) == [ASIDE]
    assert sorted(file.name for file in (folder / ASIDE).iterdir()) == [
        "data.parquet",
        "stage.json",
    ]
    writer = RowWriter(StageFolder(folder, Prompt))
    assert writer.done == 0
    writer.rows(0, "a", [Prompt("a", ())])
    writer.commit({})
    assert names(folder) == ["data.parquet", "stage.json"]


def test_rows_that_are_on_disk_are_not_set_aside(folder: Path) -> None:
    (folder / "part-00000.jsonl").write_bytes(b"")
    set_aside(folder, "it")
    set_aside(folder, "it, once more")
    assert (folder / "part-00000.jsonl").is_file()
    drop_damaged(folder)
    assert not (folder / ASIDE).exists()


def test_what_a_killed_process_left_beside_its_commit_is_removed(folder: Path) -> None:
    (folder / "part-00000.jsonl").write_bytes(b"{")
    (folder / "data.parquet.17.tmp").write_bytes(b"PAR1")
    (folder / ASIDE).mkdir()
    tidy(folder)
    assert names(folder) == ["data.parquet", "stage.json"]


def test_what_a_living_process_holds_is_left_alone(folder: Path) -> None:
    (folder / "part-00000.jsonl").write_bytes(b"{")
    with writer_lock(folder):
        tidy(folder)
        assert (folder / "part-00000.jsonl").is_file()


def test_rows_made_of_other_rows_are_told_apart(tmp_path: Path) -> None:
    stage = StageFolder(tmp_path / "s", Prompt)
    writer = RowWriter(stage)
    writer.rows(0, "a", [Prompt("a", ())])
    writer.commit({"made_from": {"k": "sha256:1", "other": "sha256:2"}})
    assert problem_of(stage.path, {"k": "sha256:1"}) is None
    problem = problem_of(stage.path, {"k": "sha256:3"})
    assert problem == (f"{stage.path} was made from other rows than those that its run reads now")
    assert problem_of(tmp_path / "nowhere", {"k": "sha256:3"}) is None


def test_rows_from_before_markers_had_checksums_are_taken(folder: Path) -> None:
    write_json(folder / "stage.json", {"format": 1, "rows": 1})
    assert problem_of(folder, {"k": "sha256:3"}) is None
    assert rows_checksum({"rows": 1}) == ""


def test_a_stage_goes_on_only_with_what_was_begun_from_the_same_rows(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begin_from(folder, {"k": "sha256:1"})
    (folder / "part-00000.jsonl").write_bytes(b"{")
    (folder / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    begin_from(folder, {"k": "sha256:1"})
    set_aside(folder, "it")
    begin_from(folder, {"k": "sha256:1", "more": "sha256:2"})
    assert (folder / "part-00000.jsonl").is_file()
    caplog.clear()
    begin_from(folder, {"k": "sha256:3"})
    assert caplog.messages == [
        f"{folder} was begun from other rows than those that its run reads now: it is begun anew"
    ]
    assert not (folder / "part-00000.jsonl").exists()
    clear_work(folder)
    assert names(folder) == []


def test_large_files_are_just_looked_for_where_a_plan_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder / "data.parquet"
    content = data.read_bytes()
    data.write_bytes(content[:-1] + b"x")
    assert damage_of(folder, thorough=False) == f"{data} is not what was written"
    monkeypatch.setattr(damage, "_SMALL", 10)
    assert damage_of(folder, thorough=False) is None
    data.unlink()
    assert damage_of(folder, thorough=False) is not None


def test_pages_are_checked_where_rows_are_read(folder: Path) -> None:
    file = folder / "data.parquet"
    meta = pq.ParquetFile(file).metadata.row_group(0).column(0)
    content = bytearray(file.read_bytes())
    content[meta.dictionary_page_offset + meta.total_compressed_size - 1] ^= 1
    file.write_bytes(content)
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        list(StageFolder(folder, Prompt).read())
    assert json.loads((folder / "stage.json").read_text())["rows"] == 1
