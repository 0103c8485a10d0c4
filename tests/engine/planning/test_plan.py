"""A plan says what the run that follows does: it goes the same way through the same stages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from spa.components.backends.hf import HFBackend
from spa.engine.keys import stage_key
from spa.engine.pipeline import planned_stages, run_recipe
from spa.engine.planning import FIGURES, RunPlan, examples, plan_run
from spa.engine.records import RowCodec
from spa.errors import RecipeError
from spa.recipe import Recipe
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


def test_a_split_that_leaves_nothing_to_train_on_is_no_plan(recipe: Load, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="so none is left to train on"):
        plan(recipe(["prompts.split.heldout=10"]), tmp_path)


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


def up_to_training(event: RunEvent) -> None:
    """Interrupts a run as soon as it has to train."""
    if (event.kind, event.stage) == ("stage_started", "train"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("change", "stage", "said"),
    [
        ("seed=1", "prompts", "seed: 0 -> 1"),
        ("prompts.limit=9", "prompts", "prompts.limit: null -> 9"),
        ("generate.temperature=0.5", "sample", "generate.temperature: 1.0 -> 0.5"),
        ("judge.min_label_mass=0.000001", "judge", "judge.min_label_mass: 0.0 -> 1e-06"),
        ("refine.max_tokens=9", "refine", "refine.max_tokens: 8 -> 9"),
        ("objectives.0.threshold=5", "denoise", "objectives.0.threshold: null -> 5.0"),
        ("pairs.margin=0.0002", "pairs", "pairs.margin: 0.0001 -> 0.0002"),
        ("loss.alpha=2", "train", "loss.alpha: 1.0 -> 2.0"),
        ("train.batch_pairs=4", "train", "train.batch_pairs: 8 -> 4"),
        ("answer.max_tokens=9", "answer-base", "answer.max_tokens: 8 -> 9"),
        ("model.batch_size=2", "", ""),
    ],
)
def test_what_a_plan_calls_a_hit_is_what_the_run_takes_from_the_store(
    recipe: Load, tmp_path: Path, finished_runs: Path, change: str, stage: str, said: str
) -> None:
    shutil.copytree(finished_runs, tmp_path / "runs")
    loaded = recipe([change])
    found = plan(loaded, tmp_path)
    first = next((each for each in found.stages if not each.is_done), None)
    assert ("" if first is None else first.title) == stage
    assert first is None or [str(each) for each in first.changed] == [said]
    trains = not next(stage for stage in found.stages if stage.title == "train").is_done
    with pytest.raises(KeyboardInterrupt) if trains else nullcontext():
        run(loaded, tmp_path, listen=up_to_training)
    manifest = json.loads((tmp_path / "runs" / found.name / "run.json").read_text())
    done = {stage["name"]: (stage["cached"], stage["key"]) for stage in manifest["stages"]}
    planned = {stage.title: (stage.is_done, stage.key) for stage in found.stages}
    assert done == {name: planned[name] for name in done}
    assert len(done) == (9 if trains else len(planned))


def test_an_interrupted_stage_is_partial_and_answers_that_are_there_are_not_asked_again(
    recipe: Load, tmp_path: Path, finished_runs: Path
) -> None:
    store = tmp_path / "runs" / "store"
    shutil.copytree(finished_runs, tmp_path / "runs")
    (folder,) = store.glob("sample-*")
    (folder / "stage.json").unlink()
    (folder / "part-00000.jsonl").write_bytes(b"{}\n{}\n{}\n{ torn")

    def sampled() -> tuple[str, int, int | None, int | None]:
        stage = next(each for each in plan(recipe(), tmp_path).stages if each.title == "sample")
        assert stage.changed == ()
        return stage.status, stage.done, stage.total, stage.requests

    assert sampled() == ("partial", 3, 7, 0)
    (answers,) = store.glob("answers-sample-*")
    shutil.rmtree(answers)
    assert sampled() == ("partial", 3, 7, 12)


def test_a_store_of_other_keys_is_named(recipe: Load, tmp_path: Path, finished_runs: Path) -> None:
    shutil.copytree(finished_runs, tmp_path / "runs")
    (old,) = (tmp_path / "runs" / "store").glob("sample-*")
    file = old.rename(old.with_name(f"sample-{'0' * 16}")) / "key.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "scheme": 0}))
    found = {stage.title: stage for stage in plan(recipe(), tmp_path).stages}
    assert found["sample"].status == "miss"
    assert "scheme 0 -> 1" in str(found["sample"].changed[0])
    assert found["judge"].is_done, "its own key is as it was"


@pytest.mark.parametrize(
    ("file", "more", "said"),
    [
        ("model.safetensors", b"\0", "weights of the model changed"),
        ("chat_template.jinja", b" ", "chat template of the model changed"),
        ("tokenizer.json", b" ", "tokenizer of the model changed"),
    ],
)
def test_what_of_the_model_changed_is_said(
    recipe: Load,
    tmp_path: Path,
    tiny_folder: Path,
    finished_runs: Path,
    file: str,
    more: bytes,
    said: str,
) -> None:
    model = shutil.copytree(tiny_folder, tmp_path / "model")
    assert (model / file).is_file()
    (model / file).write_bytes((model / file).read_bytes() + more)
    found = plan_run(recipe([f"model.path={model}"]), finished_runs)
    of = {stage.title: stage for stage in found.stages}
    assert of["prompts"].is_done
    assert [str(change) for change in of["sample"].changed] == [said]


def test_figures_come_from_what_was_measured(
    recipe: Load, tmp_path: Path, finished_runs: Path
) -> None:
    found = plan_run(recipe(["generate.temperature=0.5"]), finished_runs)
    of = {stage.title: stage for stage in found.stages}
    sample = of["sample"]
    assert sample.requests == 21
    assert sample.basis["new_tokens"] == sample.basis["seconds"] == "measured"
    assert sample.seconds is not None
    assert sample.seconds > 0
    assert of["train"].seconds is not None
    seconds, unknown = found.total("seconds")
    assert seconds is not None
    assert unknown == 0


def test_rows_are_not_read_to_plan(
    recipe: Load, finished_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    original = RowCodec.rows

    def counted(self: Any, batch: Any) -> Any:
        read.append(batch.num_rows)
        return original(self, batch)

    monkeypatch.setattr(RowCodec, "rows", counted)
    monkeypatch.setattr(examples, "FIRST", 5)
    monkeypatch.setattr(examples, "EACH_SPLIT", 2)
    plan_run(recipe(["loss.alpha=2"]), finished_runs)
    assert read
    assert max(read) <= 5


def test_later_rounds_wait_for_the_training_of_the_first(recipe: Load, tmp_path: Path) -> None:
    loaded = recipe(["iterations=2"])
    found = plan(loaded, tmp_path)
    assert [stage.title for stage in found.stages] == planned_stages(loaded)
    waits = {stage.title: stage.waits_for for stage in found.stages}
    assert waits["1/train"] == ""
    assert waits["2/sample"] == waits["2/pairs"] == waits["2/train"] == "1/train"
    assert waits["2/answer-round-2"] == "2/train"


def test_a_key_that_depends_on_the_tokenizer_of_an_untrained_model_is_unknown(
    recipe: Load, tmp_path: Path, tiny_folder: Path
) -> None:
    backend = f"generate.backend={{use: hf, path: {tiny_folder}, dtype: float32}}"
    full = plan(recipe(["iterations=2", "train.lora=null", backend]), tmp_path)
    of = {stage.title: stage for stage in full.stages}
    assert of["1/sample"].key
    assert (of["2/sample"].key, of["2/sample"].waits_for) == ("", "1/train")
    adapter = plan(recipe(["iterations=2", backend]), tmp_path)
    of = {stage.title: stage for stage in adapter.stages}
    assert of["2/sample"].key == of["1/sample"].key, "an adapter leaves the tokenizer as it is"


def test_a_stage_keeps_what_its_key_is_made_of_and_nothing_else(
    finished_runs: Path, recipe: Load
) -> None:
    for file in (finished_runs / "store").glob("*/key.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        assert set(record) == {"format", "scheme", "stage", "key", "parts", "fingerprint_parts"}
        assert set(record["parts"]) == {"components", "model", "reads", "settings", "seed"}
        assert record["key"] == stage_key(record["stage"], record["parts"])
        assert file.parent.name.endswith(record["key"][:16])
    stages = {stage.folder for stage in plan_run(recipe(), finished_runs).stages}
    assert stages == {file.parent.name for file in (finished_runs / "store").glob("*/key.json")}
