"""Whole runs on a tiny random model: what is computed, what is shared, what survives."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from spa.components.backends.hf import HFBackend
from spa.engine.interrupt import Interrupt
from spa.engine.outcome import NothingToTrainOn
from spa.engine.pipeline import default_run_name, planned_stages, run_recipe
from spa.errors import RecipeError, RunError
from spa.recipe import Recipe
from spa.types import RunEvent

PROGRESS_OF_JUDGE = ("stage_progress", "judge")
Load = Callable[..., Recipe]


def run(recipe: Recipe, tmp_path: Path, **settings: Any) -> tuple[dict[str, Any], list[RunEvent]]:
    events: list[RunEvent] = []
    result = run_recipe(recipe, runs=tmp_path / "runs", listen=events.append, **settings)
    manifest = json.loads((result.folder / "run.json").read_text(encoding="utf-8"))
    assert manifest == json.loads(json.dumps(result.manifest))
    return manifest, events


def cached(manifest: dict[str, Any]) -> dict[str, bool]:
    return {stage["name"]: stage["cached"] for stage in manifest["stages"]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of requests of each call to a model."""
    calls: list[int] = []
    original = HFBackend.answer

    def counted(self: HFBackend, requests: Sequence[Any]) -> Any:
        calls.append(len(requests))
        return original(self, requests)

    monkeypatch.setattr(HFBackend, "answer", counted)
    return calls


def test_a_run_goes_through_all_stages_and_says_what_it_did(recipe: Load, tmp_path: Path) -> None:
    loaded = recipe()
    manifest, events = run(loaded, tmp_path)
    assert manifest["status"] == "done"
    assert manifest["error"] is None
    assert [stage["name"] for stage in manifest["stages"]] == planned_stages(loaded)
    assert not any(cached(manifest).values())
    rows = {stage["name"]: stage["rows"] for stage in manifest["stages"]}
    assert rows["prompts"] == 10
    assert rows["sample"] == 21
    assert rows["judge"] == 21
    assert rows["answer-base"] == rows["answer-round-1"] == 3
    funnel = manifest["funnels"][0]
    assert funnel[0] == {"name": "prompts", "prompts": 7, "lost": {}, "pairs": None}
    assert funnel[-1]["pairs"] == rows["pairs"] > 0
    folder = tmp_path / "runs" / manifest["name"]
    assert (folder / manifest["outputs"]["path"] / "adapter_model.safetensors").is_file()
    models = {metric["model"] for metric in manifest["metrics"]}
    assert models == {"base", "round-1", "round-1 - base", "round-1 against base"}
    used = {plugin["distribution"]: plugin["used"] for plugin in manifest["plugins"]}
    assert "loss:spa-align/spa" in used["spa-align"]
    assert {
        stage["components"][0]["component"] for stage in manifest["stages"] if stage["components"]
    } >= {
        "spa-align/diverse",
        "spa-align/constitution",
        "spa-align/lexicographic",
    }
    (trained,) = [e.details for e in events if (e.kind, e.stage) == ("stage_finished", "train")]
    assert trained["step"] == trained["steps"] > 0
    assert isinstance(trained["loss"], float)
    finished = [e.stage for e in events if e.kind == "stage_finished"]
    assert finished == planned_stages(loaded)
    assert (events[0].kind, events[-1].kind) == ("run_started", "run_finished")


def test_the_same_recipe_again_asks_nothing(recipe: Load, tmp_path: Path, asked: list[int]) -> None:
    first, _ = run(recipe(), tmp_path)
    assert sum(asked) > 0
    asked.clear()
    second, _ = run(recipe(), tmp_path)
    assert asked == []
    assert all(cached(second).values())
    for name in ("funnels", "metrics", "outputs", "recipe"):
        assert second[name] == first[name]


def test_a_run_that_was_finished_is_not_checked_ahead_again(
    recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(HFBackend, "check", lambda *_: checked.append("check") or [])
    run(recipe(), tmp_path)
    assert checked == ["check"]
    run(recipe(), tmp_path)
    assert checked == ["check"]


def test_the_manifest_tells_sizes_and_kinds_of_policy_and_judge(
    recipe: Load, tmp_path: Path
) -> None:
    alone, _ = run(recipe(), tmp_path)
    assert (alone["policy_type"], alone["judge_type"], alone["judge_parameters"]) == (
        "llama",
        None,
        None,
    )
    path = alone["recipe"]["model"]["path"]
    other, _ = run(recipe([f"judge.backend={{use: hf, path: {path}}}"]), tmp_path)
    assert other["judge_type"] == "llama"
    assert other["judge_parameters"] == other["policy_parameters"] > 10_000


def test_another_loss_shares_everything_up_to_the_pairs(
    recipe: Load, recipe_file: Path, tmp_path: Path
) -> None:
    from spa.recipe import load_recipe

    first, _ = run(recipe(), tmp_path)
    second, _ = run(load_recipe(recipe_file, swaps=["loss=simpo"]), tmp_path)
    assert first["name"] != second["name"]
    shared = [name for name, hit in cached(second).items() if hit]
    assert shared == [
        "prompts",
        "sample",
        "judge",
        "refine",
        "judge-refined",
        "denoise",
        "pairs",
        "answer-base",
        "judge-answers-base",
    ]
    assert first["outputs"]["path"] != second["outputs"]["path"]


def test_settings_that_change_speed_only_share_everything(recipe: Load, tmp_path: Path) -> None:
    run(recipe(), tmp_path)
    settings = ["model.batch_size=1", "model.label_batch_size=3", "train.micro_groups=3"]
    again, _ = run(recipe(settings), tmp_path)
    assert all(cached(again).values())


def test_a_run_that_died_goes_on_and_asks_only_what_is_missing(
    recipe: Load, tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, _ = run(recipe(["model.batch_size=1"]), tmp_path / "other")
    complete = sum(asked)
    asked.clear()
    original = HFBackend.answer
    delivered = 0

    def dies(self: HFBackend, requests: Sequence[Any]) -> Any:
        nonlocal delivered
        for result in original(self, requests):
            if delivered == 30:
                raise KeyboardInterrupt
            delivered += 1
            yield result

    monkeypatch.setattr(HFBackend, "answer", dies)
    with pytest.raises(KeyboardInterrupt):
        run(recipe(["model.batch_size=1"]), tmp_path)
    folder = tmp_path / "runs" / default_run_name(recipe(["model.batch_size=1"]))
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    monkeypatch.setattr(HFBackend, "answer", original)
    left: list[int] = []

    def counted(self: HFBackend, requests: Sequence[Any]) -> Any:
        left.append(len(requests))
        return original(self, requests)

    monkeypatch.setattr(HFBackend, "answer", counted)
    manifest, _ = run(recipe(["model.batch_size=1"]), tmp_path)
    assert sum(left) == complete - 30
    assert manifest["metrics"] == undisturbed["metrics"]
    assert manifest["funnels"] == undisturbed["funnels"]


def test_training_that_is_interrupted_keeps_a_checkpoint_and_goes_on(
    recipe: Load, tmp_path: Path
) -> None:
    interrupt = Interrupt()

    def stop_in_training(event: RunEvent) -> None:
        if event.stage == "train" and event.kind == "stage_progress":
            interrupt.requested = True

    loaded = recipe(["train.epochs=3"])
    with pytest.raises(KeyboardInterrupt):
        run_recipe(loaded, runs=tmp_path / "runs", listen=stop_in_training, interrupt=interrupt)
    manifest, _ = run(loaded, tmp_path)
    assert manifest["status"] == "done"
    assert cached(manifest)["pairs"]


def test_no_pair_left_ends_the_run_with_the_funnel_and_advice(recipe: Load, tmp_path: Path) -> None:
    loaded = recipe(["pairs.margin=1000"])
    with pytest.raises(NothingToTrainOn) as caught:
        run(loaded, tmp_path)
    assert caught.value.exit_code == 1
    assert str(caught.value) == (
        "no preference pair is left, so nothing was trained.\n"
        "The score differences are below the margin: lower pairs.margin.\n"
        "More prompts give more groups that can be kept."
    )
    assert caught.value.steps[-1].lost == {"no_pair": 7}
    manifest = json.loads((tmp_path / "runs" / default_run_name(loaded) / "run.json").read_text())
    assert manifest["status"] == "failed"
    assert manifest["funnels"][0][-1]["pairs"] == 0
    assert not list((tmp_path / "runs" / "store").glob("train-*"))


def test_a_prompt_longer_than_the_context_is_set_aside_with_its_length(
    recipe: Load, recipe_file: Path, tmp_path: Path
) -> None:
    prompts = recipe_file.parent / "prompts.jsonl"
    with prompts.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": "long", "prompt": "x" * 2000}) + "\n")
    manifest, _ = run(recipe(["prompts.split.heldout=0"]), tmp_path)
    sample = next(stage for stage in manifest["stages"] if stage["name"] == "sample")
    assert sample["failure_reasons"] == {"too_long": 1}
    failures = (tmp_path / "runs" / "store" / sample["folder"] / "failures.jsonl").read_text()
    line = json.loads(failures)
    line.pop("crc")
    assert line == {
        "job": "long",
        "reason": "too_long",
        "attempts": 1,
        "message": "the prompt has 2,003 tokens and 8 are to be generated, but the model's context "
        "is 1,536. Shorten the prompt or lower max_tokens.",
    }
    assert manifest["funnels"][0][1] == {
        "name": "sampled",
        "prompts": 10,
        "lost": {"too_long": 1},
        "pairs": None,
    }


def test_a_stage_in_which_nothing_works_ends_the_run(recipe: Load, tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        run(recipe(["generate.max_tokens=5000"]), tmp_path)
    assert str(caught.value).startswith("stage sample: none of 7 rows could be done. The first, p")
    assert "the model's context is 1,536" in str(caught.value)


def test_labels_that_are_not_one_token_are_refused(recipe: Load, tmp_path: Path) -> None:
    from spa.errors import SpaError

    with pytest.raises(SpaError, match="label '10' is not one token after 'Score: '"):
        run(recipe(["judge.labels=[1, 10]"]), tmp_path)


def test_two_rounds_train_the_adapter_of_the_first_further(recipe: Load, tmp_path: Path) -> None:
    loaded = recipe(["iterations=2"])
    manifest, _ = run(loaded, tmp_path)
    titles = [
        stage["name"]
        if stage["name"].startswith("prompts")
        else f"{stage['round']}/{stage['name']}"
        for stage in manifest["stages"]
    ]
    assert titles[0] == "prompts"
    assert titles[1:] == planned_stages(loaded)[1:]
    assert len(manifest["funnels"]) == 2
    assert len(set(manifest["outputs"]["rounds"])) == 2
    assert {metric["model"] for metric in manifest["metrics"]} >= {"base", "round-1", "round-2"}


def test_trackers_know_the_training_of_each_round_by_the_name_of_the_run(
    recipe: Load, tmp_path: Path
) -> None:
    sets = ["train.report_to=tensorboard"]
    plain, _ = run(recipe(), tmp_path)
    reported, _ = run(recipe(sets), tmp_path, name="reported")
    assert plain["stages"][-1]["key"] == reported["stages"][-1]["key"]
    assert cached(reported)["train"]  # taken from the store, so nothing is told again
    assert not list((tmp_path / "runs").rglob("tensorboard"))
    twice, _ = run(recipe([*sets, "iterations=2", "train.seed=5"]), tmp_path, name="twice")
    folders = [stage["folder"] for stage in twice["stages"] if stage["name"] == "train"]
    for number, folder in enumerate(folders, start=1):
        (events,) = (tmp_path / "runs" / "store" / folder / "tensorboard").iterdir()
        assert f'"run_name": "twice-round-{number}"'.encode() in events.read_bytes()


def test_full_fine_tuning_and_no_held_out_prompts(recipe: Load, tmp_path: Path) -> None:
    loaded = recipe(["train.lora=null", "prompts.split.heldout=0"])
    manifest, _ = run(loaded, tmp_path)
    assert manifest["outputs"]["kind"] == "full"
    assert manifest["metrics"] == []
    assert [stage["name"] for stage in manifest["stages"]] == planned_stages(loaded)


def test_no_more_held_out_prompts_than_there_are(recipe: Load, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        run(recipe(["prompts.split.heldout=10"]), tmp_path)
    assert str(caught.value) == (
        "--set prompts.split.heldout=10  prompts.split.heldout: 10 prompts are to be held out, "
        "but there are only 10, so none is left to train on. Lower it or give more prompts."
    )


def test_no_secret_of_the_environment_gets_into_what_is_written(
    recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    run(recipe(), tmp_path)
    for file in (tmp_path / "runs").rglob("*"):
        if file.is_file():
            assert b"hf_very_secret" not in file.read_bytes(), file


def test_bare_and_qualified_names_share_rows_and_funnel(recipe: Load, tmp_path: Path) -> None:
    bare = recipe(["denoise=[{use: informativeness, max_determinant: 0.001}]"])
    qualified = recipe(["denoise=[{use: spa-align/informativeness, max_determinant: 0.001}]"])
    outcomes = []
    for each in (bare, qualified):
        try:
            manifest, _ = run(each, tmp_path)
            outcomes.append(manifest["funnels"])
        except NothingToTrainOn as nothing:
            outcomes.append(nothing.steps)
    assert outcomes[0] == outcomes[1]


def test_rows_on_which_components_break_stay_in_every_denominator(
    recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spa.components.denoisers.informativeness import InformativenessDenoiser
    from spa.components.evaluators.judge_scores import JudgeScoresEvaluator
    from spa.types import Verdict

    def breaks_on_one(self: Any, group: Any, objectives: Any) -> Verdict:
        if group.prompt.id in ("p1", "p2", "p3", "p4"):
            raise ZeroDivisionError("no")
        return Verdict(True, "informative")

    original = JudgeScoresEvaluator.evaluate
    seen = []

    def breaks_first(self: Any, item: Any, objectives: Any) -> Any:
        seen.append(item)
        if len(seen) == 1:
            raise ZeroDivisionError("no")
        return original(self, item, objectives)

    monkeypatch.setattr(InformativenessDenoiser, "verdict", breaks_on_one)
    monkeypatch.setattr(JudgeScoresEvaluator, "evaluate", breaks_first)
    manifest, _ = run(recipe(["denoise=[{use: informativeness}]"]), tmp_path)
    steps = {step["name"]: step for step in manifest["funnels"][0]}
    assert steps["prompts"]["prompts"] == 7
    broken = steps["denoised"]["lost"]["component_error"]
    assert broken > 0
    assert steps["denoised"]["prompts"] == 7 - broken
    assert {metric["missing"] for metric in manifest["metrics"]} == {1}


def test_responses_without_a_score_are_counted_under_their_reason(
    recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spa.components.judges.constitution import ConstitutionJudge
    from spa.types import Score

    judged = ConstitutionJudge.score

    def leaves_some_out(self: Any, prompt: Any, response: Any, objectives: Any) -> Any:
        scores = yield from judged(self, prompt, response, objectives)
        if response.id.endswith("/s0"):
            return {**scores, "helpfulness": Score(None, "unparsable")}
        return {} if response.id.endswith("/r") and prompt.id == "p0" else scores

    monkeypatch.setattr(ConstitutionJudge, "score", leaves_some_out)
    manifest, events = run(recipe(["prompts.split=null"]), tmp_path)
    unscored = {
        stage["name"]: stage["details"]["unscored"]
        for stage in manifest["stages"]
        if "unscored" in stage["details"]
    }
    assert unscored == {"judge": {"unparsable": 10}, "judge-refined": {"missing": 1}}
    told = {e.stage: e.details.get("unscored") for e in events if e.kind == "stage_finished"}
    assert told["judge"] == {"unparsable": 10}
    live = [e.details["unscored"] for e in events if (e.kind, e.stage) == PROGRESS_OF_JUDGE]
    assert live[-1] == {"unparsable": 10}
    assert not any("unscored" in e.details for e in events if e.stage in ("sample", "train"))
    assert manifest["funnels"][0][2]["lost"] == {"refined_unscored": 1}


def test_a_name_cannot_be_taken_from_another_recipe(recipe: Load, tmp_path: Path) -> None:
    run(recipe(), tmp_path, name="mine")
    with pytest.raises(RunError) as caught:
        run(recipe(["seed=1"]), tmp_path, name="mine")
    assert str(caught.value).endswith(
        "tiny.yaml):\n  seed: 0 -> 1\nChoose another --name, or move the folder away; what the "
        "stages made lies in the store and is found again."
    )


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("{}", "it is no manifest, as it does not say its recipe"),
        ("[]", "it is no manifest, as it does not say its recipe"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_what_to_do(
    recipe: Load, tmp_path: Path, asked: list[int], content: str, cause: str
) -> None:
    file = tmp_path / "runs" / "mine" / "run.json"
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="utf-8")
    with pytest.raises(RunError) as caught:
        run(recipe(), tmp_path, name="mine")
    assert str(caught.value) == (
        f"{file} cannot be read: {cause}. Choose another --name, or move the folder away; what the "
        "stages made lies in the store and is found again."
    )
    assert file.read_text(encoding="utf-8") == content
    assert asked == []


def test_a_finished_manifest_stays_until_the_run_is_finished_again(
    recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    first, _ = run(recipe(), tmp_path)
    for folder in (tmp_path / "runs" / "store").glob("sample-*"):
        shutil.rmtree(folder)
    for folder in (tmp_path / "runs" / "store").glob("answers-sample-*"):
        shutil.rmtree(folder)

    def breaks(self: HFBackend, requests: Sequence[Any]) -> Any:
        raise RunError("the machine is gone")

    monkeypatch.setattr(HFBackend, "answer", breaks)
    with pytest.raises(RunError, match="the machine is gone"):
        run(recipe(), tmp_path)
    file = tmp_path / "runs" / first["name"] / "run.json"
    assert json.loads(file.read_text(encoding="utf-8")) == first


def test_a_component_that_cannot_be_imported_is_found_before_anything_runs(
    recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[int]
) -> None:
    import sys

    from spa.errors import PluginError

    monkeypatch.setitem(sys.modules, "spa.components.losses.spa", None)
    with pytest.raises(PluginError, match="spa"):
        run(recipe(), tmp_path)
    assert asked == []
    assert not (tmp_path / "runs").exists()


def test_another_revision_of_the_backend_shares_nothing_that_it_made(
    recipe: Load, tmp_path: Path
) -> None:
    from dataclasses import replace

    loaded = recipe()
    run(loaded, tmp_path)
    registered = loaded.model.registered
    newer = replace(registered, component=replace(registered.component, revision=99))
    again, _ = run(
        replace(loaded, model=replace(loaded.model, registered=newer)), tmp_path, name="x"
    )
    assert [name for name, hit in cached(again).items() if hit] == ["prompts"]
