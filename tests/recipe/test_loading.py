from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spa.data import load_constitution
from spa.errors import RecipeError
from spa.plugins.catalogue import Catalogue
from spa.recipe import Recipe, load_recipe

Write = Callable[..., Path]
Load = Callable[..., Recipe]


@pytest.fixture
def load(write: Write, catalogue: Catalogue) -> Load:
    def from_text(content: str, name: str = "recipe.yaml", **options: Any) -> Recipe:
        return load_recipe(write(content, name), catalogue=catalogue, **options)

    return from_text


def test_everything_is_filled_in(load: Load, text: str) -> None:
    recipe = load(text)
    assert (recipe.name, recipe.source, recipe.seed) == ("example", "recipe.yaml", 0)
    assert [(o.name, o.definition, o.threshold) for o in recipe.objectives] == [
        ("safety", "Does no harm.", 7.0),
        ("use", "Is of use.", None),
    ]
    assert recipe.prompts.split is not None
    assert (recipe.prompts.split.heldout, recipe.prompts.limit) == (4, None)
    assert recipe.judge.backend is None
    assert recipe.train.lora is not None
    assert (recipe.train.lora.r, recipe.train.lora.alpha) == (4, 8.0)
    assert recipe.train.learning_rate == 2e-4
    assert [spec.name for spec in recipe.denoise] == ["consistency", "informativeness"]
    assert recipe.iterations == 1
    assert [spec.registered.qualified for spec in recipe.components] == [
        "spa-align/hf",
        "spa-align/jsonl",
        "spa-align/diverse",
        "spa-align/constitution",
        "spa-align/self-refine",
        "spa-align/consistency",
        "spa-align/informativeness",
        "spa-align/lexicographic",
        "spa-align/spa",
        "spa-align/judge-scores",
    ]


def test_full_fine_tuning_has_its_own_learning_rate(load: Load, text: str) -> None:
    recipe = load(text, sets=("train.lora=null",))
    assert recipe.train.lora is None
    assert recipe.train.learning_rate == 1e-6


def test_float_without_a_point(load: Load, text: str) -> None:
    assert load(text, sets=("train.learning_rate=1e-5",)).train.learning_rate == 1e-5
    written = text.replace("epochs: 2", "learning_rate: 1e-5")
    assert load(written).train.learning_rate == 1e-5


def test_name_comes_from_the_file(load: Load, text: str) -> None:
    unnamed = text.replace("name: example\n", "")
    assert load(unnamed, "my first recipe!.yaml").name == "my-first-recipe"


def test_resolved_is_the_same_recipe(load: Load, text: str) -> None:
    backend = "  backend: {use: hf, path: judge-weights}\n"
    recipe = load(text.replace("  backend: null\n", backend))
    resolved = recipe.resolved()
    again = load(json.dumps(resolved), "elsewhere/again.yaml")
    assert again.resolved() == resolved
    assert again.objectives == recipe.objectives
    assert [spec.config for spec in again.components] == [s.config for s in recipe.components]


def test_resolved_without_the_optional_sections(load: Load, text: str) -> None:
    recipe = load(text, swaps=("refine=none", "denoise=none", "evaluate=none"))
    assert (recipe.refine, recipe.denoise, recipe.evaluate) == (None, (), ())
    resolved = recipe.resolved()
    assert load(json.dumps(resolved)).resolved() == resolved


def path_of(recipe: Recipe) -> str:
    return str(recipe.prompts.config.model_dump()["path"])


def test_paths_are_relative_to_the_file_they_are_written_in(
    load: Load, write: Write, text: str, tmp_path: Path
) -> None:
    write(text, "base/recipe.yaml")
    child = "extends: ../base/recipe.yaml\nprompts: {limit: 3, prompt_column: q}\n"
    inherited = load(child, "mine/a.yaml")
    assert path_of(inherited) == str(tmp_path / "mine/../base/prompts.jsonl")
    assert inherited.prompts.limit == 3
    own = load("extends: ../base/recipe.yaml\nprompts: {path: p.jsonl}\n", "mine/b.yaml")
    assert path_of(own) == str(tmp_path / "mine/p.jsonl")
    by_option = load(child, "mine/a.yaml", sets=("prompts.path=here.jsonl",))
    assert path_of(by_option) == str(tmp_path / "here.jsonl")


def test_paths_of_one_section_from_two_files(
    load: Load, write: Write, text: str, tmp_path: Path
) -> None:
    write(text, "base/recipe.yaml")
    (tmp_path / "base/weights").mkdir()
    (tmp_path / "mine/adapter").mkdir(parents=True)
    child = "extends: ../base/recipe.yaml\nmodel: {adapter: adapter, dtype: float32}\n"
    config = load(child, "mine/a.yaml").model.config.model_dump()
    assert Path(config["path"]).resolve() == tmp_path / "base/weights"
    assert Path(config["adapter"]).resolve() == tmp_path / "mine/adapter"


def test_mistakes_are_shown_where_they_are_inherited_from(
    write: Write, text: str, catalogue: Catalogue
) -> None:
    write(text.replace("beta: 3", "beta: x"), "base.yaml")
    path = write("extends: base.yaml\nloss:\n  alpah: 2\nsed: 1\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, catalogue=catalogue)
    assert str(caught.value).splitlines() == [
        "recipe.yaml:3:3  loss.alpah: unknown key for loss 'spa' (built in). Did you mean 'alpha'?",
        "recipe.yaml:4:1  sed: unknown key. Did you mean 'seed'?",
        "base.yaml:30:9  loss.beta: expected a number, got 'x'",
    ]


def test_null_brings_the_default_back(load: Load, write: Write, text: str) -> None:
    write(text, "base.yaml")
    recipe = load(
        "extends: base.yaml\nloss: {beta: null}\ntrain: {lora: null}\nobjectives:\n"
        "  - {name: safety, definition: x}\ndenoise: null\n"
    )
    config = recipe.loss.config.model_dump()
    assert (config["beta"], config["alpha"]) == (2.5, 2.0)
    assert recipe.train.lora is None
    assert recipe.denoise == ()


def test_no_such_recipe(write: Write, catalogue: Catalogue) -> None:
    write("", "quickstart.yaml")
    with pytest.raises(RecipeError) as caught:
        load_recipe("quikstart.yaml", catalogue=catalogue)
    assert str(caught.value) == (
        "quikstart.yaml  no such file. Recipes in that folder: quickstart.yaml"
    )
    assert caught.value.exit_code == 2


def test_a_definition_may_be_one_that_ships_with_spa(load: Load, text: str) -> None:
    written = text.replace('{name: use, definition: "Is of use."}', "{name: honesty}")
    recipe = load(written)
    assert recipe.objectives[1].definition == load_constitution("honesty")
    resolved = recipe.resolved()
    assert load(json.dumps(resolved)).resolved() == resolved


def test_loading_imports_no_torch(write: Write, text: str) -> None:
    path = write(text)
    code = (
        "import sys; from spa.recipe import load_recipe; load_recipe(sys.argv[1]); "
        "print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_example_of_the_reference_page(load: Load) -> None:
    page = (Path(__file__).parents[2] / "docs/reference/recipe.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]
    recipe = load(blocks[0], "base.yaml")
    assert [objective.name for objective in recipe.objectives] == ["harmlessness", "brevity"]
    extending = next(block for block in blocks if "loss: {alpha: 2}" in block)
    inherited = load(extending.replace("{use: rubric}", "{mode: generate}"))
    assert inherited.loss.config.model_dump()["alpha"] == 2.0
