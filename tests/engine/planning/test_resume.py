"""Going on and nothing else, and beginning anew beside what is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spa.components.sources.jsonl import JsonlSource
from spa.engine.pipeline import default_run_name, run_recipe
from spa.engine.planning import plan_run
from spa.engine.planning.resume import begin_anew, refuse_to_redo
from spa.engine.stored_run import open_run
from spa.errors import RunError, UsageError
from spa.recipe import load_recipe


def test_always_goes_on_with_what_is_whole(finished_folder: Path) -> None:
    refuse_to_redo(load_recipe(finished_folder / "tiny.yaml"), finished_folder / "runs")


def test_always_refuses_where_there_is_nothing(finished_folder: Path, tmp_path: Path) -> None:
    loaded = load_recipe(finished_folder / "tiny.yaml")
    with pytest.raises(UsageError, match="nothing to go on with"):
        refuse_to_redo(loaded, tmp_path)
    assert not list(tmp_path.iterdir())


def test_always_says_what_changed_where_a_finished_stage_would_be_done_anew(
    finished_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_recipe(finished_folder / "tiny.yaml")
    monkeypatch.setattr(JsonlSource, "fingerprint", lambda self: "other words")
    with pytest.raises(UsageError) as caught:
        refuse_to_redo(loaded, finished_folder / "runs")
    said = str(caught.value)
    assert "prompts:\n    the content of the prompts changed\n" in said
    assert "sample:\n    reads prompts (changed above)\n" in said
    assert "answer-round-1: waits for train" in said


def test_always_names_what_is_gone(finished_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_folder / "runs", tmp_path / "runs")
    (lost,) = (tmp_path / "runs" / "store").glob("pairs-*")
    shutil.rmtree(lost)
    loaded = load_recipe(finished_folder / "tiny.yaml")
    with pytest.raises(UsageError, match=f"pairs: {lost.name} is gone") as caught:
        refuse_to_redo(loaded, tmp_path / "runs")
    assert "sample" not in str(caught.value)


def test_always_names_what_is_damaged(finished_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_folder / "runs", tmp_path / "runs")
    (marker,) = (tmp_path / "runs" / "store").glob("pairs-*/stage.json")
    marker.write_text("{")
    loaded = load_recipe(finished_folder / "tiny.yaml")
    with pytest.raises(UsageError, match=f"pairs:\n    {marker} cannot be read") as caught:
        refuse_to_redo(loaded, tmp_path / "runs")
    assert "gone" not in str(caught.value)


def test_a_run_of_another_recipe_is_refused_with_the_differences(finished_folder: Path) -> None:
    file, runs = finished_folder / "tiny.yaml", finished_folder / "runs"
    name = default_run_name(load_recipe(file))
    other = load_recipe(file, sets=["loss.alpha=2"])
    with pytest.raises(UsageError, match=r"loss\.alpha: 1\.0 -> 2\.0"):
        refuse_to_redo(other, runs, name)
    with pytest.raises(RunError, match=r"loss\.alpha: 1\.0 -> 2\.0"):
        run_recipe(other, runs=runs, name=name)


def test_never_takes_nothing_that_is_there(finished_folder: Path, tmp_path: Path) -> None:
    runs = shutil.copytree(finished_folder / "runs", tmp_path / "runs")
    loaded = load_recipe(finished_folder / "tiny.yaml")
    before = sorted(runs.rglob("*"))
    name = default_run_name(loaded)
    assert begin_anew(loaded, runs) == f"{name}-2"
    assert begin_anew(loaded, runs) == f"{name}-3"
    assert begin_anew(loaded, runs, "fresh") == "fresh"
    assert set(before) < set(runs.rglob("*"))
    assert all(stage.is_done for stage in plan_run(loaded, runs).stages)
    assert {stage.status for stage in plan_run(loaded, runs, "fresh").stages} == {"miss"}


def test_a_run_with_a_store_of_its_own_is_read_from_it(
    finished_folder: Path, tmp_path: Path
) -> None:
    loaded = load_recipe(finished_folder / "tiny.yaml", sets=["train.epochs=1", "seed=3"])
    name = begin_anew(loaded, tmp_path, "own")

    def up_to_pairs(event: object) -> None:
        if getattr(event, "stage", None) == "judge":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_recipe(loaded, runs=tmp_path, name=name, listen=up_to_pairs)
    stored = open_run(tmp_path / "own")
    assert stored.store == (tmp_path / "own" / "store").resolve()
    assert not (tmp_path / "store").exists()
    done = {stage.title: stage.is_done for stage in plan_run(loaded, tmp_path, name).stages}
    assert done["prompts"]
    assert done["sample"]
    assert not done["denoise"]
