"""A run with a store of its own, as ``spa run --resume never`` makes it, beside runs that share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kept_run import ANSWERS, TRAIN, make_kept_run

from spa.cli import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of the run; the store beside it has nothing of it."""
    folder = make_kept_run(tmp_path / "runs")
    (tmp_path / "runs" / "store").rename(folder / "store")
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    manifest["outputs"] |= {
        "path": f"store/{TRAIN}/adapter",
        "rounds": [f"store/{TRAIN}/adapter"],
    }
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def names(store: Path) -> set[str]:
    return {path.name for path in store.iterdir()}


def test_it_lacks_nothing(own: Path, capsys: Captured) -> None:
    assert main(["store", "verify", "--runs-dir", str(own.parent)]) == 0
    assert main(["store", "verify", str(own)]) == 0
    assert "gone" not in capsys.readouterr().out


def test_it_keeps_nothing_in_the_store_that_others_share(own: Path) -> None:
    shared = own.parent / "store"
    (shared / ANSWERS).mkdir(parents=True)
    assert main(["store", "prune", "--runs-dir", str(own.parent), "--yes"]) == 0
    assert names(shared) == set()
    assert ANSWERS in names(own / "store")


def test_its_own_store_is_pruned_of_nothing_that_it_uses(own: Path) -> None:
    before = names(own / "store")
    assert main(["store", "prune", "--runs-dir", str(own), "--yes"]) == 0
    assert names(own / "store") == before


def test_its_archive_is_taken_into_a_store_that_runs_share(own: Path, tmp_path: Path) -> None:
    archive, there = tmp_path / "own.tar", tmp_path / "there"
    assert main(["store", "export", str(own), "--output", str(archive)]) == 0
    assert main(["store", "import", str(archive), "--runs-dir", str(there)]) == 0
    outputs = json.loads((there / own.name / "run.json").read_text(encoding="utf-8"))["outputs"]
    assert outputs["path"] == f"../store/{TRAIN}/adapter"
    assert outputs["rounds"] == [f"../store/{TRAIN}/adapter"]
    assert (there / own.name / outputs["path"]).is_dir()
    assert not (there / own.name / "store").exists()
