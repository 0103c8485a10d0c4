"""A recipe on a tiny random model, for tests of the whole pipeline in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from tiny_llama import save_tiny_llama

from spa.recipe import Recipe, load_recipe

torch.set_num_threads(1)

RECIPE = """
name: tiny
objectives:
  - {name: harmlessness, definition: Is it safe?}
  - {name: helpfulness, definition: Does it help?}
model: {use: hf, path: MODEL}
prompts: {use: jsonl, path: prompts.jsonl, split: {heldout: 3}}
generate: {use: diverse, n: 3, max_tokens: 8, system_prompts: [Be kind.]}
judge: {use: constitution, min_label_mass: 0.0}
refine: {use: self-refine, max_tokens: 8}
denoise: []
pairs: {use: lexicographic, margin: 0.0001}
loss: {use: spa}
train: {epochs: 1, batch_pairs: 8, lora: {r: 2}}
answer: {max_tokens: 8}
evaluate: [{use: judge-scores, resamples: 200}]
"""


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with a context of 1,536 tokens."""
    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"), max_position_embeddings=1536)


@pytest.fixture
def recipe_file(tmp_path: Path, tiny_folder: Path) -> Path:
    """The recipe on disk, with its ten prompts beside it."""
    rows = [{"id": f"p{i}", "prompt": f"Question number {i}?"} for i in range(10)]
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "prompts.jsonl").write_text(lines + "\n", encoding="utf-8")
    file = tmp_path / "tiny.yaml"
    file.write_text(RECIPE.replace("MODEL", str(tiny_folder)), encoding="utf-8")
    return file


@pytest.fixture
def recipe(recipe_file: Path) -> Callable[[Sequence[str]], Recipe]:
    """Loads the recipe with overrides."""
    return lambda sets=(): load_recipe(recipe_file, sets=sets)
