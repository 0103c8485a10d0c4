from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spa.errors import RecipeError
from spa.plugins.catalogue import Catalogue, build_catalogue
from spa.recipe import load_recipe

RECIPE = """\
name: example
objectives:
  - {name: safety, definition: "Does no harm.", threshold: 7}
  - {name: use, definition: "Is of use."}
model:
  use: hf
  path: weights
prompts:
  use: jsonl
  path: prompts.jsonl
  split: {heldout: 4}
generate:
  use: diverse
  n: 4
  system_prompts: [Be brief.]
judge:
  use: constitution
  backend: null
refine:
  use: self-refine
denoise:
  - use: consistency
  - use: informativeness
    max_determinant: 2.5
pairs:
  use: lexicographic
  margin: 0.5
loss:
  use: spa
  beta: 3
  alpha: 2
train:
  epochs: 2
  lora: {r: 4}
evaluate: [{use: judge-scores}]
"""

Write = Callable[..., Path]
Mistakes = Callable[..., list[str]]


@pytest.fixture
def text() -> str:
    """A recipe without mistakes, 37 lines."""
    return RECIPE


@pytest.fixture
def catalogue() -> Catalogue:
    """The built-in components alone, whatever is installed."""
    return Catalogue([plugin for plugin in build_catalogue("none").plugins if plugin.builtin])


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files into the working folder, so that messages show bare names."""
    monkeypatch.chdir(tmp_path)

    def write_file(content: str | bytes, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Path(name)

    return write_file


@pytest.fixture
def mistakes(write: Write, catalogue: Catalogue) -> Mistakes:
    """All problems of a recipe, as printed."""

    def find(
        content: str | bytes,
        *,
        sets: tuple[str, ...] = (),
        swaps: tuple[str, ...] = (),
        among: Catalogue = catalogue,
    ) -> list[str]:
        path = write(content)
        try:
            load_recipe(path, sets=sets, swaps=swaps, catalogue=among)
        except RecipeError as error:
            return [str(problem) for problem in error.problems]
        return []

    return find
