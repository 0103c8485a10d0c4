"""A whole run with tasks of the harness: responses, figures, and the store."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spa_lm_eval.harness
from spa.comparison.series import Figure, read_series
from spa.engine.pipeline import planned_stages, run_recipe
from spa.engine.planning import plan_run
from spa.engine.stored_run import open_run
from spa.plugins.catalogue import load_catalogue
from spa.recipe import load_recipe

POLICIES = ("base", "round-1")


@pytest.fixture
def recipe(tmp_path: Path, tiny_folder: Path, write_task: Callable[..., Path]) -> Any:
    from tiny_recipe import write_tiny_recipe

    file = write_tiny_recipe(tmp_path, tiny_folder)
    for subject in ("the_sea", "number"):
        write_task(subject)
    section = (
        "{use: lm-eval, tasks: [own_the_sea.yaml, own_number.yaml], trust_task_files: true,"
        " num_fewshot: 1, limit: 4, resamples: 50}"
    )
    lines = file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("evaluate:")]
    file.write_text("\n".join([*kept, f"evaluate: [{section}]"]) + "\n", encoding="utf-8")
    return load_recipe(file)


def test_every_policy_runs_the_tasks_and_is_compared(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(each.name == "lm-eval" for each in load_catalogue().components())
    runs = tmp_path / "runs"
    plan = plan_run(recipe, runs)
    assert [stage.title for stage in plan.stages] == planned_stages(recipe)
    manifest = run_recipe(recipe, runs=runs).manifest
    rows = {stage["name"]: stage["rows"] for stage in manifest["stages"]}
    assert rows["prompts-lm-eval"] == 8
    for policy in POLICIES:
        assert rows[f"respond-{policy}-lm-eval"] == 8
    figures = {(m["name"], m["model"]): m for m in manifest["metrics"]}
    for task in ("own_the_sea", "own_number"):
        for policy in POLICIES:
            figure = figures[f"{task}:acc", policy]
            assert figure["n"] == 4
            share = figure["value"]
            spread = statistics.stdev([1.0] * round(4 * share) + [0.0] * round(4 * (1 - share)))
            error = figures[f"{task}:acc_stderr", policy]["value"]
            assert error == pytest.approx(spread / 2)
        change = figures[f"{task}:acc", "round-1 - base"]
        values = [figures[f"{task}:acc", policy]["value"] for policy in POLICIES]
        assert change["value"] == pytest.approx(values[1] - values[0])
    series = read_series(open_run(runs / manifest["name"]))
    by_prompt = series[Figure("lm-eval", "own_number:acc", "base")].by_prompt
    assert by_prompt is not None
    assert set(by_prompt) == {f"lm-eval:own_number/{place}" for place in range(4)}

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("run again")

    monkeypatch.setattr(spa_lm_eval.harness, "run_task", refused)
    again = run_recipe(recipe, runs=runs).manifest
    assert all(stage["cached"] for stage in again["stages"])
    assert again["metrics"] == manifest["metrics"]


def test_a_model_that_cannot_be_run_stops_the_run_and_says_so(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of patience")

    monkeypatch.setattr(spa_lm_eval.harness, "run_task", broken)
    with pytest.raises(Exception, match=r"lm-eval' could not run the model of base: .*patience"):
        run_recipe(recipe, runs=tmp_path / "runs", training=False)
