"""The folder is complete or not there, and nothing is overwritten."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from made_run import PAIRS, make_run

from spa.engine.stored_run import StoredRun, open_run
from spa.errors import RunError
from spa.export.folder import PAIR_FORMATS, export_pairs
from spa.export.trl import TrlFormat


@pytest.mark.parametrize("name", sorted(PAIR_FORMATS))
def test_what_exists_is_not_overwritten(made: StoredRun, tmp_path: Path, name: str) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    file = tmp_path / "file"
    file.write_text("mine")
    for output in (full, file):
        with pytest.raises(RunError) as caught:
            export_pairs(made, output, PAIR_FORMATS[name])
        assert str(caught.value) == (
            f"{output} exists and is not empty. Choose another folder, or delete it."
        )
    assert [each.name for each in full.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(made: StoredRun, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_pairs(made, tmp_path / "out", TrlFormat())
    assert (tmp_path / "out" / "train.parquet").is_file()


def test_a_full_disk_leaves_nothing(
    made: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: TrlFormat, folder: Path, *_: object) -> None:
        (folder / "train.parquet").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TrlFormat, "write", full)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(RunError) as caught:
        export_pairs(made, tmp_path / "out", TrlFormat())
    assert str(caught.value) == (
        f"{tmp_path / 'out'} cannot be written: No space left on device. "
        "Free some space or choose another folder."
    )
    assert {path.name for path in tmp_path.iterdir()} == before


def test_pairs_of_which_none_can_be_written(tmp_path: Path) -> None:
    empty, turns = PAIRS[1][2], PAIRS[1][4]
    run = open_run(make_run(tmp_path / "runs", pairs={1: (empty, turns)}))
    with pytest.raises(RunError) as caught:
        export_pairs(run, tmp_path / "out", PAIR_FORMATS["llamafactory"])
    assert str(caught.value) == (
        f"{run.folder}: none of its 2 pairs can be written as llamafactory: 1 empty_response, "
        "1 turns_do_not_alternate. The reasons are described under spa export in the reference of "
        "commands."
    )
    assert not (tmp_path / "out").exists()
