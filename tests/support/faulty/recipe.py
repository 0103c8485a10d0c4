"""A run of two rounds on the oracle that goes through every kind of stage in about two seconds."""

from __future__ import annotations

import json
from pathlib import Path

from spa.plugins.catalogue import Catalogue, build_catalogue
from spa.plugins.discovery import load_plugin
from spa.plugins.scanning import Found
from spa.recipe import Recipe, load_recipe

PROMPTS = 6
RECIPE = """
name: disturbed
iterations: 2
objectives:
  - {name: harmlessness, definition: Is it safe?}
  - {name: helpfulness, definition: Does it help?}
model: {use: oracle, path: MODEL}
prompts: {use: jsonl, path: prompts.jsonl, split: {heldout: 2}}
generate: {use: diverse, n: 3, max_tokens: 24, system_prompts: [Be kind.]}
judge: {use: constitution, min_label_mass: 0.0}
refine: {use: self-refine, max_tokens: 24}
denoise: [{use: informativeness, max_determinant: 1000.0}]
pairs: {use: lexicographic, margin: 0.0001}
loss: {use: dpo}
train: {epochs: 2, batch_pairs: 12, save_steps: 1, lora: {r: 2}}
answer: {max_tokens: 24}
evaluate: [{use: judge-scores, resamples: 20}, {use: pairwise, resamples: 20}]
"""


def write(folder: Path, model: Path) -> Path:
    """Writes the recipe and its prompts and returns the recipe's file."""
    rows = [{"id": f"p{i}", "prompt": f"Question number {i}?"} for i in range(PROMPTS)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "prompts.jsonl").write_text(lines, encoding="utf-8")
    file = folder / "disturbed.yaml"
    file.write_text(RECIPE.replace("MODEL", str(model)), encoding="utf-8")
    return file


def load(file: Path) -> Recipe:
    """Loads it with the plugin beside the built-in ones."""
    found = Found("faulty", "faulty.plugin", "spa-faulty", "0")
    return load_recipe(
        file, catalogue=Catalogue([*build_catalogue("none").plugins, load_plugin(found)])
    )
