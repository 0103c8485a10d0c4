"""Evaluators that run the model themselves: once a policy, kept, and not for a plan."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quick_model import QuickModel

from spa.api import LoadedModel, ModelEvaluator
from spa.components.backends.hf import HFBackend
from spa.engine.pipeline import planned_stages, run_recipe
from spa.engine.planning import plan_run
from spa.engine.stages import by_model
from spa.errors import RunError
from spa.plugins.component import Component
from spa.plugins.registered import Registered
from spa.recipe import AskingSpec, Recipe

Load = Callable[..., Recipe]
SOURCE = """
from spa.api import ComponentConfig, Message, Metric, Prompt, Response

RAN = []


class Config(ComponentConfig):
    trouble: bool = False


class Evaluator:
    def __init__(self, config):
        self.config = config

    def prompts(self):
        for place in range(3):
            yield Prompt(f"d{place}", (Message("user", f"document {place}"),))

    def respond_with(self, loaded, prompts):
        if self.config.trouble:
            raise RuntimeError("out of patience")
        RAN.append((loaded.model, [prompt.id for prompt in prompts]))
        return {prompt.id: [Response("yes")] for prompt in prompts[:2]}

    def evaluate(self, item, objectives):
        found = {model: len(answers) for model, answers in item.answers.items()}
        return {"prompt_id": item.prompt.id, "models": list(found), **found}

    def summary(self, rows, objectives):
        models = rows[0]["models"]
        return [Metric("answered", sum(row[m] for row in rows), len(rows), m) for m in models]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A plugin's module with such an evaluator."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "their_evaluator.py").write_text(SOURCE, encoding="utf-8")
    sys.modules.pop("their_evaluator", None)
    import their_evaluator  # type: ignore[import-not-found]  # written above

    yield their_evaluator
    sys.modules.pop("their_evaluator", None)


@pytest.fixture
def measured(recipe: Load, module: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    """The tiny recipe with that evaluator alone, and a model that answers at once."""
    QuickModel(monkeypatch)
    component = Component(
        name="theirs",
        impl="their_evaluator:Evaluator",
        config="their_evaluator:Config",
        summary="Runs the model",
    )
    registered = Registered(component, "evaluator", "theirs", "their-plugin", "0.1")

    def load(**config: Any) -> Recipe:
        spec = AskingSpec("evaluator", "theirs", registered, module.Config(**config))
        return replace(recipe(["prompts.split=null"]), evaluate=(spec,))

    return load


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has `hf` give the adapter's folder in place of a model."""
    monkeypatch.setattr(HFBackend, "loaded", lambda self: LoadedModel(self.config.adapter, None))


def test_every_policys_model_is_run_once_and_what_it_gave_is_kept(
    measured: Callable[..., Recipe], module: Any, given: None, tmp_path: Path
) -> None:
    assert issubclass(module.Evaluator, ModelEvaluator)
    recipe, runs = measured(), tmp_path / "runs"
    titles = [stage.title for stage in plan_run(recipe, runs).stages]
    assert titles == planned_stages(recipe)
    assert module.RAN == []
    manifest = run_recipe(recipe, runs=runs).manifest
    ids = [f"theirs:d{place}" for place in range(3)]
    assert [asked for _, asked in module.RAN] == [ids, ids]
    untrained, trained = (model for model, _ in module.RAN)
    assert untrained is None
    assert "train-" in trained
    stages = {stage["name"]: stage for stage in manifest["stages"]}
    for policy in ("base", "round-1"):
        found = stages[f"respond-{policy}-theirs"]
        assert (found["rows"], found["failed"]) == (2, 1)
    assert {m["model"]: m["value"] for m in manifest["metrics"]} == {"base": 2, "round-1": 2}
    again = run_recipe(recipe, runs=runs).manifest
    assert len(module.RAN) == 2
    assert again["metrics"] == manifest["metrics"]


def test_an_error_of_the_evaluator_stops_the_run(
    measured: Callable[..., Recipe], given: None, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"theirs' could not run the model of base: .* patience"):
        run_recipe(measured(trouble=True), runs=tmp_path / "runs")


def test_weights_are_loaded_where_the_backend_does_not_give_its_model(
    measured: Callable[..., Recipe], module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(HFBackend, "loaded")
    monkeypatch.setattr(by_model, "load_policy", lambda spec: ("loaded", spec.adapter))
    monkeypatch.setattr(by_model, "load_tokenizer", lambda _: None)
    run_recipe(measured(), runs=tmp_path / "runs")
    (untrained, trained) = (model for model, _ in module.RAN)
    assert untrained == ("loaded", None)
    assert trained[1] is not None
