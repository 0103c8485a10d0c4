"""A plan says what the run that follows does: it goes the same way through the same stages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tiny_recipe import write_tiny_recipe

from spa.components.backends.hf import HFBackend
from spa.engine.pipeline import planned_stages, run_recipe
from spa.engine.planning import FIGURES, RunPlan, plan_run
from spa.recipe import Recipe, load_recipe
from spa.types import RunEvent

Load = Callable[..., Recipe]


def run(recipe: Recipe, tmp_path: Path, **settings: Any) -> dict[str, Any]:
    return dict(run_recipe(recipe, runs=tmp_path / "runs", **settings).manifest)


def plan(recipe: Recipe, tmp_path: Path) -> RunPlan:
    return plan_run(recipe, tmp_path / "runs")


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_without_a_store_all_is_to_be_done_and_nothing_is_written(
    recipe: Load, tmp_path: Path
) -> None:
    loaded = recipe()
    found = plan(loaded, tmp_path)
    assert [stage.title for stage in found.stages] == planned_stages(loaded)
    assert {stage.status for stage in found.stages} == {"miss"}
    assert not (tmp_path / "runs").exists()
    of = {stage.title: stage for stage in found.stages}
    assert (of["prompts"].total, of["sample"].total, of["answer-base"].total) == (10, 7, 3)
    assert of["sample"].requests == 21
    assert of["sample"].new_tokens == 21 * 8
    assert of["sample"].basis["new_tokens"] == "at most"
    assert of["judge"].total == 21
    assert of["judge"].requests == 42
    assert of["refine"].requests == 7
    assert of["judge-refined"].requests == 14
    assert of["denoise"].requests == of["pairs"].requests == 0
    assert of["sample"].seconds is None


def test_a_policy_that_is_not_trained_yet_has_no_key(recipe: Load, tmp_path: Path) -> None:
    found = plan(recipe(), tmp_path)
    waiting = {stage.title: stage.waits_for for stage in found.stages if not stage.key}
    assert waiting == {
        "answer-round-1": "train",
        "judge-answers-round-1": "train",
        "evaluate-judge-scores": "train",
    }
    assert all(stage.folder == "" for stage in found.stages if not stage.key)


def test_after_a_run_everything_is_there_and_planning_touches_nothing(
    recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = recipe()
    run(loaded, tmp_path)
    before = files(tmp_path / "runs")

    def asked(*_: object) -> None:
        raise AssertionError("a plan asked a model")

    monkeypatch.setattr(HFBackend, "answer", asked)
    found = plan(loaded, tmp_path)
    assert {stage.status for stage in found.stages} == {"hit"}
    assert [found.total(each) for each in FIGURES] == [(0, 0)] * 5
    assert files(tmp_path / "runs") == before


@pytest.fixture(scope="module")
def finished_runs(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs after one run of the recipe as it is."""
    folder = tmp_path_factory.mktemp("finished")
    run(load_recipe(write_tiny_recipe(folder, tiny_folder)), folder)
    return folder / "runs"


def up_to_training(event: RunEvent) -> None:
    """Interrupts a run as soon as it has to train."""
    if (event.kind, event.stage) == ("stage_started", "train"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "sets",
    [
        ["seed=1"],
        ["generate.temperature=0.5"],
        ["judge.min_label_mass=0.000001"],
        ["refine.max_tokens=9"],
        ["pairs.margin=0.0002"],
        ["loss.alpha=2"],
        ["train.batch_pairs=4"],
        ["answer.max_tokens=9"],
        ["prompts.limit=9"],
        ["model.batch_size=2"],
        ["objectives.0.threshold=5"],
    ],
)
def test_what_a_plan_calls_a_hit_is_what_the_run_takes_from_the_store(
    recipe: Load, tmp_path: Path, finished_runs: Path, sets: list[str]
) -> None:
    shutil.copytree(finished_runs, tmp_path / "runs")
    loaded = recipe(sets)
    found = plan(loaded, tmp_path)
    trains = not next(stage for stage in found.stages if stage.title == "train").is_done
    with pytest.raises(KeyboardInterrupt) if trains else nullcontext():
        run(loaded, tmp_path, listen=up_to_training)
    manifest = json.loads((tmp_path / "runs" / found.name / "run.json").read_text())
    done = {stage["name"]: (stage["cached"], stage["key"]) for stage in manifest["stages"]}
    planned = {stage.title: (stage.is_done, stage.key) for stage in found.stages}
    assert done == {name: planned[name] for name in done}
    assert len(done) == (9 if trains else len(planned))
