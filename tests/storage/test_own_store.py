"""The archive of a run with a store of its own, as ``spa run --resume never`` makes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kept_run import TRAIN, make_kept_run

from spa.cli import main


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of the run."""
    folder = make_kept_run(tmp_path / "runs")
    (tmp_path / "runs" / "store").rename(folder / "store")
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    manifest["outputs"] |= {
        "path": f"store/{TRAIN}/adapter",
        "rounds": [f"store/{TRAIN}/adapter"],
    }
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_its_archive_is_taken_into_a_store_that_runs_share(own: Path, tmp_path: Path) -> None:
    archive, there = tmp_path / "own.tar", tmp_path / "there"
    assert main(["store", "export", str(own), "--output", str(archive)]) == 0
    assert main(["store", "import", str(archive), "--runs-dir", str(there)]) == 0
    outputs = json.loads((there / own.name / "run.json").read_text(encoding="utf-8"))["outputs"]
    assert outputs["path"] == f"../store/{TRAIN}/adapter"
    assert outputs["rounds"] == [f"../store/{TRAIN}/adapter"]
    assert (there / own.name / outputs["path"]).is_dir()
    assert not (there / own.name / "store").exists()
