"""Real runs on a tiny model: what they note is all that they need, here and elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spa.cli import main
from spa.engine.pipeline import run_recipe
from spa.engine.planning import plan_run
from spa.recipe import load_recipe
from spa.types import RunEvent


def stages(runs: Path, name: str) -> dict[str, Any]:
    manifest = json.loads((runs / name / "run.json").read_text(encoding="utf-8"))
    return {stage["name"]: stage["cached"] for stage in manifest["stages"]}


def contents(runs: Path) -> set[str]:
    return {path.name for path in (runs / "store").iterdir()}


def test_a_stopped_run_loses_nothing_and_a_moved_one_computes_nothing(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    recipe = load_recipe(recipe_file, swaps=["loss=dpo"])

    def stop(event: RunEvent) -> None:
        if (event.kind, event.stage) == ("stage_started", "refine"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, runs=runs, name="r", listen=stop)
    before = contents(runs)
    assert any(name.startswith("refine-") for name in before)
    assert stages(runs, "r").keys() <= {"prompts", "sample", "judge"}
    assert main(["store", "prune", "--runs-dir", str(runs), "--yes"]) == 0
    assert contents(runs) == before

    run_recipe(recipe, runs=runs, name="r")
    assert [name for name, cached in stages(runs, "r").items() if cached] == [
        "prompts",
        "sample",
        "judge",
    ]
    whole = contents(runs)
    assert any(name.startswith("reference-") for name in whole)
    assert main(["store", "prune", "--runs-dir", str(runs), "--yes"]) == 0
    assert contents(runs) == whole
    assert main(["store", "verify", "--runs-dir", str(runs)]) == 0

    archive, there = tmp_path / "r.tar.gz", tmp_path / "there"
    assert main(["store", "export", str(runs / "r"), "--output", str(archive)]) == 0
    assert main(["store", "import", str(archive), "--runs-dir", str(there)]) == 0
    runs.rename(tmp_path / "gone")
    assert contents(there) == whole
    capsys.readouterr()
    changed = load_recipe(recipe_file, swaps=["loss=dpo"], sets=["generate.n=2"])
    sample = next(stage for stage in plan_run(changed, there).stages if stage.title == "sample")
    assert [str(change) for change in sample.changed] == ["generate.n: 3 -> 2"]
    assert main(["export", str(there / "r")]) == 0
    exported = tmp_path / "elsewhere" / "recipe.yaml"
    exported.parent.mkdir()
    exported.write_text(capsys.readouterr().out, encoding="utf-8")
    run_recipe(load_recipe(exported), runs=there, name="r")
    assert all(stages(there, "r").values())
    assert contents(there) == whole
