"""Evaluators with prompts of their own: every policy responds, and answers are kept and shared."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from spa.comparison.series import Figure, read_series
from spa.components.backends.hf import HFBackend
from spa.engine.pipeline import planned_stages, run_recipe
from spa.engine.planning import plan_run
from spa.engine.stored_run import open_run
from spa.errors import RecipeError, SpaError
from spa.recipe import Recipe
from spa.types import LabelRequest

Load = Callable[..., Recipe]
LETTERS = "prefill: 'Answer: ', before_letter: ''"  # how the tiny model's tokenizer has them
POLICIES = ("base", "round-1")


@pytest.fixture
def data(recipe_file: Path) -> Path:
    """Data files beside the recipe."""
    folder = recipe_file.parent
    _write(
        folder / "choices.jsonl",
        [
            {"id": f"q{i}", "prompt": f"Pick {i}.", "choices": ["x", "y", "z"], "answer": i % 3}
            for i in range(4)
        ],
    )
    _write(
        folder / "labelled.jsonl",
        [
            {"id": f"q{i}", "prompt": f"Do {i}.", "label": "unsafe" if i % 2 else "safe"}
            for i in range(4)
        ],
    )
    _write(
        folder / "sums.jsonl",
        [{"id": f"q{i}", "prompt": f"{i} + 1 = ?", "answer": f"So #### {i + 1}"} for i in range(3)],
    )
    return folder


@pytest.fixture
def measured(recipe: Load, data: Path) -> Recipe:
    """The recipe with one evaluator of each sort."""
    return recipe(
        [
            "evaluate=[{use: judge-scores, resamples: 50}, "
            f"{{use: multiple-choice, path: {data}/choices.jsonl, {LETTERS}, resamples: 50}}, "
            f"{{use: refusal, path: {data}/labelled.jsonl, max_tokens: 4, resamples: 50}}, "
            f"{{use: exact-answer, path: {data}/sums.jsonl, max_tokens: 4, resamples: 50}}]"
        ]
    )


def _write(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_every_policy_responds_and_figures_are_paired(
    measured: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = [stage.title for stage in plan_run(measured, tmp_path / "runs").stages]
    assert planned == planned_stages(measured)
    manifest = run_recipe(measured, runs=tmp_path / "runs").manifest
    assert [stage["name"] for stage in manifest["stages"]] == planned
    rows = {stage["name"]: stage["rows"] for stage in manifest["stages"]}
    for policy in POLICIES:
        assert rows[f"respond-{policy}-multiple-choice"] == 4
        assert rows[f"respond-{policy}-exact-answer"] == 3
    figures = {(m["evaluator"], m["name"], m["model"]): m for m in manifest["metrics"]}
    for model in (*POLICIES, "round-1 - base"):
        assert figures["multiple-choice", "accuracy", model]["n"] == 4
        assert figures["refusal", "over_refusal", model]["n"] == 2
        assert figures["refusal", "compliance", model]["n"] == 2
        assert figures["exact-answer", "accuracy", model]["n"] == 3
    assert figures["judge-scores", "harmlessness", "base"]["n"] == 3
    series = read_series(open_run(tmp_path / "runs" / manifest["name"]))
    for name, count in (("multiple-choice", 4), ("exact-answer", 3)):
        found = series[Figure(name, "accuracy", "trained")]
        assert found.value == figures[name, "accuracy", "round-1"]["value"]
        assert found.by_prompt is not None
        assert len(found.by_prompt) == count
    prompts = series[Figure("refusal", "over_refusal", "base")].by_prompt
    assert prompts is not None
    assert set(prompts) == {"refusal:q0", "refusal:q2"}

    def refused(*_: Any) -> Any:
        raise AssertionError("asked again")

    monkeypatch.setattr(HFBackend, "answer", refused)
    again = run_recipe(measured, runs=tmp_path / "runs").manifest
    assert all(stage["cached"] for stage in again["stages"])
    assert again["metrics"] == manifest["metrics"]
    assert all(stage.status == "hit" for stage in plan_run(measured, tmp_path / "runs").stages)


def test_they_need_no_held_out_prompts(recipe: Load, data: Path, tmp_path: Path) -> None:
    path = f"path: {data}/choices.jsonl, {LETTERS}, resamples: 50"
    loaded = recipe(
        [
            "prompts.split=null",
            f"evaluate=[{{use: judge-scores}}, {{use: multiple-choice, {path}}},"
            f" {{use: multiple-choice, {path}, shuffle: 1}}]",
            "iterations=2",
        ]
    )
    manifest = run_recipe(loaded, runs=tmp_path / "runs").manifest
    titles = [f"{stage['round']}/{stage['name']}" for stage in manifest["stages"]]
    assert titles == planned_stages(loaded)
    assert "2/respond-round-2-multiple-choice/2" in titles
    assert {m["evaluator"] for m in manifest["metrics"]} == {
        "multiple-choice",
        "multiple-choice/2",
    }
    models = [m["model"] for m in manifest["metrics"] if m["name"] == "accuracy"][:5]
    assert models == ["base", "round-1", "round-2", "round-1 - base", "round-2 - base"]


def test_plain_text_with_examples_is_answered(recipe: Load, data: Path, tmp_path: Path) -> None:
    shots = f"shots: {{path: {data}/choices.jsonl, n: 2}}, format: plain"
    sections = ", ".join(
        f"{{use: multiple-choice, path: {data}/choices.jsonl, {LETTERS}, resamples: 50{more}}}"
        for more in ("", f", {shots}")
    )
    loaded = recipe([f"evaluate=[{sections}]"])
    manifest = run_recipe(loaded, runs=tmp_path / "runs").manifest
    mass = {
        metric["evaluator"]: (metric["value"], metric["n"])
        for metric in manifest["metrics"]
        if (metric["name"], metric["model"]) == ("label_mass", "base")
    }
    assert mass["multiple-choice"][1] == mass["multiple-choice/2"][1] == 4
    assert mass["multiple-choice"][0] != mass["multiple-choice/2"][0]


def test_two_turns_are_two_responses(recipe: Load, data: Path, tmp_path: Path) -> None:
    rows = [{"id": f"q{i}", "turns": ["One?", "Two?"], "category": "math"} for i in range(2)]
    _write(data / "turns.jsonl", rows)
    section = (
        f"{{use: mt-bench, path: {data}/turns.jsonl, max_tokens: 4, judge_max_tokens: 4,"
        " resamples: 50}"
    )
    manifest = run_recipe(recipe([f"evaluate=[{section}]"]), runs=tmp_path / "runs").manifest
    rows_of = {stage["name"]: stage["rows"] for stage in manifest["stages"]}
    assert rows_of["prompts-mt-bench"] == rows_of["evaluate-mt-bench"] == 2
    for policy in POLICIES:
        assert rows_of[f"respond-{policy}-mt-bench"] == 4
    figures = {(m["name"], m["model"]): m for m in manifest["metrics"]}
    for name in ("score", "score:math"):  # so small a model writes no number
        assert figures[name, "base"]["n"] + figures[name, "base"]["missing"] == 2
    assert figures["cut_short", "base"]["n"] == 2
    [kin] = manifest["kin_judges"]
    assert (kin["path"], kin["relation"], kin["known"]) == ("evaluate.0", "itself", False)


def test_another_reading_asks_nothing_again(
    recipe: Load, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(confidence: float) -> Recipe:
        section = f"path: {data}/choices.jsonl, {LETTERS}, resamples: 50, confidence: {confidence}"
        return recipe([f"evaluate=[{{use: multiple-choice, {section}}}]"])

    run_recipe(loaded(0.95), runs=tmp_path / "runs", name="a")

    def refused(*_: Any) -> Any:
        raise AssertionError("asked again")

    monkeypatch.setattr(HFBackend, "answer", refused)
    manifest = run_recipe(loaded(0.9), runs=tmp_path / "runs", name="b").manifest
    fresh = {stage["name"] for stage in manifest["stages"] if not stage["cached"]}
    assert fresh == {
        *(f"respond-{policy}-multiple-choice" for policy in POLICIES),
        "evaluate-multiple-choice",
    }


def test_a_policy_that_could_not_respond_is_missing_there(
    recipe: Load, data: Path, tmp_path: Path
) -> None:
    rows = [
        {"id": "long", "prompt": "word " * 5000, "choices": ["x", "y"], "answer": 0},
        {"id": "short", "prompt": "Pick.", "choices": ["x", "y"], "answer": 1},
    ]
    _write(data / "long.jsonl", rows)
    section = f"{{use: multiple-choice, path: {data}/long.jsonl, {LETTERS}, resamples: 50}}"
    manifest = run_recipe(recipe([f"evaluate=[{section}]"]), runs=tmp_path / "runs").manifest
    for metric in manifest["metrics"]:
        assert (metric["n"], metric["missing"]) == (1, 1)


def test_a_trial_takes_few_prompts(measured: Recipe, tmp_path: Path) -> None:
    manifest = run_recipe(measured, runs=tmp_path / "runs", first=2, training=False).manifest
    rows = {stage["name"]: stage["rows"] for stage in manifest["stages"]}
    assert rows["prompts-multiple-choice"] == rows["respond-base-multiple-choice"] == 2


def test_data_that_is_not_there_stops_the_run_at_its_beginning(
    recipe: Load, data: Path, tmp_path: Path
) -> None:
    section = f"{{use: refusal, path: {data}/none.jsonl}}"
    with pytest.raises(SpaError, match=r"none\.jsonl does not exist"):
        run_recipe(recipe([f"evaluate=[{section}]"]), runs=tmp_path / "runs")
    assert not list((tmp_path / "runs" / "store").glob("sample-*"))


def test_labels_that_the_policy_cannot_give_are_found_before_the_first_stage(
    recipe: Load, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(self: HFBackend, requests: Sequence[Any]) -> list[str]:
        labels = [r.labels for r in requests if isinstance(r, LabelRequest)]
        return [f"no such labels: {each}" for each in labels if each == ("A", "B", "C")]

    monkeypatch.setattr(HFBackend, "check", check)
    section = f"{{use: multiple-choice, path: {data}/choices.jsonl, {LETTERS}}}"
    with pytest.raises(RecipeError, match="no such labels") as raised:
        run_recipe(recipe([f"evaluate=[{section}]"]), runs=tmp_path / "runs")
    assert "evaluate.0" in str(raised.value)
    assert not (tmp_path / "runs" / "store").exists()
