"""What a run would not take from the store is no hit in its plan either."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from spa.engine.checksums import CHECKSUMS, SEAL, with_checksums
from spa.engine.pipeline import run_recipe
from spa.engine.planning import plan_run
from spa.errors import RunError
from spa.recipe import Recipe

Load = Callable[..., Recipe]


@pytest.fixture
def store(tmp_path: Path, finished_runs: Path) -> Path:
    shutil.copytree(finished_runs, tmp_path / "runs")
    return tmp_path / "runs" / "store"


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("sample", "stage.json"),
        ("pairs", "data.parquet"),
        ("train", "stage.json"),
        ("train", "result.json"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_else_is_to_be_done(
    recipe: Load, store: Path, stage: str, file: str
) -> None:
    (damaged,) = store.glob(f"{stage}-*/{file}")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    found = plan_run(recipe(), store.parent)
    (first, *_) = found.to_do
    assert first.title == stage
    (why,) = first.changed
    assert str(why).startswith(str(damaged))
    assert str(why).endswith("it is made anew from what is stored")
    assert first.like == damaged.parent.name


def test_what_was_made_of_other_rows_is_to_be_done(recipe: Load, store: Path) -> None:
    (samples,) = store.glob("sample-*")
    pq.write_table(pq.read_table(samples / "data.parquet"), samples / "data.parquet")
    facts = json.loads((samples / "stage.json").read_text(encoding="utf-8"))
    facts = {name: value for name, value in facts.items() if name not in (SEAL, CHECKSUMS)}
    marker = with_checksums(samples, facts, ["data.parquet"])
    (samples / "stage.json").write_text(json.dumps(marker), encoding="utf-8")
    of = {stage.title: stage for stage in plan_run(recipe(), store.parent).stages}
    assert of["sample"].is_done
    assert "was made from other rows" in str(of["judge"].changed[0])
    assert of["answer-base"].is_done


def test_a_training_depends_on_no_answers_to_held_out_prompts(
    finished_runs: Path,
) -> None:
    (file,) = finished_runs.glob("*/run.json")
    manifest = json.loads(file.read_text(encoding="utf-8"))
    keys = {stage["name"]: stage["key"] for stage in manifest["stages"]}
    (marker,) = (finished_runs / "store").glob("train-*/stage.json")
    made_from = set(json.loads(marker.read_text(encoding="utf-8"))["made_from"])
    before = ("prompts", "sample", "judge", "refine", "judge-refined", "denoise", "pairs")
    assert made_from == {keys[name] for name in before}


def test_a_folder_of_another_recipe_is_refused_as_the_run_refuses_it(
    recipe: Load, store: Path
) -> None:
    (file,) = store.parent.glob("*/run.json")
    name = file.parent.name
    other = recipe(["loss.alpha=2"])
    with pytest.raises(RunError, match=r"loss\.alpha: 1\.0 -> 2\.0") as planned:
        plan_run(other, store.parent, name)
    with pytest.raises(RunError) as run:
        run_recipe(other, runs=store.parent, name=name)
    assert str(planned.value) == str(run.value)
