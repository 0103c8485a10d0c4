"""A recipe on a tiny random model, for tests of whole runs in seconds."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["write_tiny_recipe"]

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


def write_tiny_recipe(folder: Path, model: Path, prompts: int = 10) -> Path:
    """Writes the recipe and its prompts to a folder and returns the recipe's file."""
    rows = [{"id": f"p{i}", "prompt": f"Question number {i}?"} for i in range(prompts)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "prompts.jsonl").write_text(lines, encoding="utf-8")
    file = folder / "tiny.yaml"
    file.write_text(RECIPE.replace("MODEL", str(model)), encoding="utf-8")
    return file
