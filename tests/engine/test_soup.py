"""Runs with ``train.soup``: an adapter for each objective, trained for real with a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from spa.engine.pipeline import run_recipe
from spa.recipe import load_recipe
from spa.types import RunEvent


def soup(file: Path, runs: Path, weights: str) -> tuple[Path, list[RunEvent], dict[str, Any]]:
    """The folder of the training, what was told, and the manifest."""
    told: list[RunEvent] = []
    recipe = load_recipe(file, sets=[f"train.soup={weights}", f"name=soup-{weights[1]}"])
    done = run_recipe(recipe, runs=runs, listen=told.append)
    path = (done.folder / done.manifest["outputs"]["path"]).resolve()
    assert (path / "adapter_model.safetensors").is_file()
    return path.parent, told, dict(done.manifest)


def test_soups_of_adapters_are_measured_and_train_once_for_all_weights(
    recipe_file: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    first, told, manifest = soup(recipe_file, runs, "[9, 1]")
    progress = [each for each in told if each.stage == "train" and each.kind == "stage_progress"]
    assert progress[-1].done <= (progress[-1].total or 0)
    assert {metric["model"] for metric in manifest["metrics"]} >= {"base", "round-1"}
    second, told, _ = soup(recipe_file, runs, "[1, 1]")
    assert second != first
    assert not [each for each in told if each.stage == "train" and each.kind == "stage_progress"]
    names = ("harmlessness", "helpfulness")
    for name in names:
        made = [folder / "objectives" / name / "result.json" for folder in (first, second)]
        assert made[0].read_text() == made[1].read_text()
    state = load_file(second / "adapter" / "adapter_model.safetensors")
    assert {tensor.shape[0] for key, tensor in state.items() if "lora_A" in key} == {2 * 2}
    files = json.loads((second / "stage.json").read_text())["checksums"]
    assert any("objectives/helpfulness/adapter" in file for file in files)
    damaged = first / "objectives" / "helpfulness" / "adapter" / "adapter_model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-8] + b"\0" * 8)
    _, told, _ = soup(recipe_file, runs, "[1, 3]")
    assert not [each for each in told if each.stage == "train" and each.kind == "stage_progress"]
