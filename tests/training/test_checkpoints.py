"""Checkpoints that were damaged are not gone on from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spa.training.checkpoints import checkpoint_kind, claim_folder, last_complete, seal_checkpoint


def checkpoint(folder: Path, step: int) -> Path:
    path = folder / f"checkpoint-{step}"
    (path / "inner").mkdir(parents=True)
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    (path / "optimizer.pt").write_bytes(b"moments" * 100)
    (path / "inner" / "weights").write_bytes(b"weights")
    seal_checkpoint(path)
    return path


@pytest.mark.parametrize("name", ["optimizer.pt", "inner/weights", "checksums.json"])
@pytest.mark.parametrize("content", [b"", b"moments" * 99 + b"momentt"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(
    tmp_path: Path, name: str, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = checkpoint(tmp_path, 4), checkpoint(tmp_path, 12)
    assert last_complete(tmp_path) == second
    (second / name).write_bytes(content)
    assert last_complete(tmp_path) == first
    assert not second.exists()
    assert caplog.messages == [
        f"{second / name} is not what was written: training goes on from an earlier checkpoint, or "
        "begins anew. Is the disk sound?"
    ]


def test_a_file_that_is_gone_is_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = checkpoint(tmp_path, 1)
    assert checkpoint_kind(path) == "plain"
    (path / "inner" / "weights").unlink()
    assert checkpoint_kind(path) is None
    assert str(path / "inner" / "weights") in caplog.text


def test_a_folder_whose_owner_cannot_be_read_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    claim_folder(tmp_path, {"data": "1"})
    checkpoint(tmp_path / "checkpoints", 3)
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "training.json").write_text('{"data": ')
    claim_folder(tmp_path, {"data": "1"})
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "result.json").exists()
    assert json.loads((tmp_path / "training.json").read_text()) == {"data": "1"}
    assert caplog.messages == [
        f"{tmp_path / 'training.json'} is damaged: training begins anew. Is the disk sound?"
    ]
