"""Errors of the disk are explained, and files appear whole or not at all."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from spa.engine import files
from spa.engine.files import disk_errors, write_json
from spa.errors import RunError


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            errno.EACCES,
            "/there/x: no permission to write. Make the folder writable, or choose another with "
            "--runs-dir.",
        ),
        (
            errno.EROFS,
            "/there/x: no permission to write. Make the folder writable, or choose another with "
            "--runs-dir.",
        ),
        (
            errno.ENOTDIR,
            "/there/x: a file is in the way of a folder. Move it, or choose another --runs-dir.",
        ),
        (errno.EIO, "/there/x: boom. Rows that were finished are kept."),
    ],
)
def test_errors_of_the_disk_say_what_to_do(code: int, message: str) -> None:
    with pytest.raises(RunError) as caught, disk_errors(Path("/there")):
        raise OSError(code, "boom", "/there/x")
    assert str(caught.value) == message


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(RunError, match="a file is in the way of a folder"):
        write_json(tmp_path / "runs" / "run.json", {})


def test_what_did_not_fit_on_the_disk_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(temporary: Path, final: Path) -> None:
        assert temporary.is_file()
        raise OSError(errno.ENOSPC, "No space left on device", str(temporary))

    monkeypatch.setattr(files, "publish", full)
    with pytest.raises(RunError, match="the disk is full"):
        write_json(tmp_path / "run.json", {"a": 1})
    assert list(tmp_path.iterdir()) == []


def test_the_old_content_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"a": "ü"})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "ü"}
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
