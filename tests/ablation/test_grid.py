"""The cells of an ablation, from the options of the command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spa.ablation.axes import read_axes
from spa.ablation.grid import Grid, make_grid
from spa.engine.pipeline import default_run_name
from spa.errors import RecipeError, UsageError

RECIPE = """
name: small
seed: 7
objectives: [{name: harmlessness, definition: Is it safe?}]
model: {use: hf, path: /nowhere/model}
prompts: {use: jsonl, path: prompts.jsonl}
generate: {use: diverse, n: 3, system_prompts: [Be kind.]}
judge: {use: constitution}
refine: {use: self-refine}
denoise: [{use: consistency}, {use: informativeness, max_determinant: 2.5}]
pairs: {use: lexicographic}
loss: {use: spa, beta: 9.0}
train: {epochs: 1}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(RECIPE, encoding="utf-8")
    return file


def grid(recipe: Path, swaps=(), sets=(), seeds: int = 1) -> Grid:
    return make_grid([recipe], read_axes(swaps, sets), seeds)


def labels(made: Grid) -> list[str]:
    return [cell.label for cell in made.cells]


def test_all_combinations_in_order(recipe: Path) -> None:
    made = grid(recipe, ["loss=spa,dpo"], ["train.epochs=1,2", "train.learning_rate=1e-4"])
    assert labels(made) == [
        "loss=spa, epochs=1",
        "loss=spa, epochs=2",
        "loss=dpo, epochs=1",
        "loss=dpo, epochs=2",
    ]
    assert [cell.recipe.train.learning_rate for cell in made.cells] == [1e-4] * 4
    assert made.cells[3].swaps == ("loss=dpo",)
    assert made.cells[3].sets == ("train.epochs=2", "train.learning_rate=1e-4")
    assert made.notes == ()


def test_the_component_that_the_recipe_has_keeps_its_settings(recipe: Path) -> None:
    first, second = grid(recipe, ["loss=spa,simpo"]).cells
    assert (first.recipe.loss.config.beta, first.swaps) == (9.0, ())
    assert second.recipe.loss.config.beta != 9.0


def test_lists_and_none(recipe: Path) -> None:
    made = grid(recipe, ["denoise=none,informativeness,consistency+informativeness"])
    held = [[(d.name, d.config) for d in cell.recipe.denoise] for cell in made.cells]
    assert [[name for name, _ in cell] for cell in held] == [
        [],
        ["informativeness"],
        ["consistency", "informativeness"],
    ]
    assert [cell[-1][1].max_determinant for cell in held[1:]] == [2.5, 2.5]


def test_a_key_is_combined_with_the_components_that_have_it(recipe: Path) -> None:
    made = grid(recipe, ["loss=spa,simpo,dpo"], ["loss.alpha=0.5,2"])
    assert labels(made) == ["loss=spa, alpha=0.5", "loss=spa, alpha=2", "loss=simpo", "loss=dpo"]
    assert made.notes == (
        "--set loss.alpha is left out for loss=simpo; loss=dpo: unknown key for loss 'simpo' "
        "(built in)",
    )
    made = grid(recipe, ["refine=none,self-refine"], ["refine.temperature=0,1", "denoise=[]"])
    assert labels(made) == [
        "refine=none",
        "refine=self-refine, temperature=0",
        "refine=self-refine, temperature=1",
    ]
    made = grid(recipe, ["denoise=none,informativeness"], ["denoise.0.max_determinant=1,2"])
    assert labels(made) == [
        "denoise=none",
        "denoise=informativeness, max_determinant=1",
        "denoise=informativeness, max_determinant=2",
    ]


def test_seeds_multiply_the_runs_and_those_of_one_seed_lie_together(recipe: Path) -> None:
    made = grid(recipe, ["loss=spa,dpo"], seeds=2)
    assert labels(made) == [
        "loss=spa, seed=7",
        "loss=dpo, seed=7",
        "loss=spa, seed=8",
        "loss=dpo, seed=8",
    ]
    assert [cell.recipe.seed for cell in made.cells] == [7, 7, 8, 8]
    assert [cell.setting for cell in made.cells[::2]] == ["loss=spa", "loss=spa"]
    # The recipe alone would be a mistake.
    recipe.write_text(RECIPE.replace("use: spa,", "use: sp,"), encoding="utf-8")
    made = grid(recipe, ["loss=spa,dpo"], seeds=2)
    assert [cell.recipe.seed for cell in made.cells] == [7, 7, 8, 8]
    recipe.write_text(RECIPE, encoding="utf-8")
    made = grid(recipe, sets=["train.seed=1,2"])
    assert [(c.setting, c.seed, c.recipe.seed) for c in made.cells] == [
        ("as the recipe", "seed=1", 7),
        ("as the recipe", "seed=2", 7),
    ]


def test_equal_recipes_are_run_once(recipe: Path) -> None:
    made = grid(recipe, ["loss=spa,spa-align/spa,dpo"])
    assert labels(made) == ["loss=spa", "loss=dpo"]
    assert made.notes == ("loss=spa-align/spa is the same recipe as loss=spa: it is run once",)


def test_names_are_stable_safe_and_readable(recipe: Path) -> None:
    made = grid(recipe, ["loss=spa,simpo"], ["objectives.0.definition='a, b/../c',x"])
    again = grid(recipe, ["loss=spa,simpo,dpo"], ["objectives.0.definition='a, b/../c',x"])
    names = [cell.run for cell in made.cells]
    assert set(names) < {cell.run for cell in again.cells}
    assert all(re.fullmatch(r"[A-Za-z0-9._=+,-]+", name) for name in names)
    assert names[1].startswith("small-loss=spa,definition=x-")
    assert names[1][-8:] == default_run_name(made.cells[1].recipe)[-8:]
    assert made.name != again.name
    assert grid(recipe, ["loss=spa,simpo"]).name == grid(recipe, ["loss=spa,simpo"]).name
    long = grid(recipe, sets=[f"objectives.0.definition={'y' * 400},{'z' * 400}"])
    assert all(len(cell.run) < 140 for cell in long.cells)


def test_keys_are_shortened_as_long_as_they_are_told_apart(recipe: Path) -> None:
    made = grid(recipe, sets=["generate.temperature=0.5,1", "refine.temperature=0,1"])
    assert labels(made)[1] == "generate.temperature=0.5, refine.temperature=1"


def test_a_mistake_of_one_combination_names_it(recipe: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        grid(recipe, ["loss=spa,dpo", "refine=none,self-refine"])
    (problem,) = caught.value.problems
    assert problem.line
    assert problem.message.endswith("(in the run loss=spa, refine=none and 1 more)")


def test_what_no_cell_can_take_is_an_error_told_once(recipe: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        grid(recipe, ["loss=spa,simpo", "refine=none,self-refine"], ["loss.alpa=1,2", "denoise=[]"])
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == len(set(told)) == 4  # two values for two losses
    assert all("unknown key for loss" in line for line in told)
    with pytest.raises(RecipeError, match=r"^--set loss.alpha=-1  loss.alpha: must be greater"):
        grid(recipe, ["loss=spa,simpo"], ["loss.alpha=-1,2"])
    with pytest.raises(RecipeError, match=r"no section 'los'\. Did you mean 'loss'"):
        grid(recipe, ["los=spa,simpo"])


@pytest.fixture
def others(recipe: Path) -> list[Path]:
    """The recipe and two that extend it, one with a seed of its own."""
    files = [recipe, recipe.with_name("imitate.yaml"), recipe.with_name("later.yaml")]
    texts = ["name: imitation\nloss: {use: sft}", "name: later\nseed: 40\nloss: {use: dpo}"]
    for file, text in zip(files[1:], texts, strict=True):
        file.write_text(f"extends: small.yaml\n{text}\n", encoding="utf-8")
    return files


def test_recipes_are_settings_under_their_names(others: list[Path]) -> None:
    made = make_grid(others, (), seeds=2)
    assert [(cell.setting, cell.seed) for cell in made.cells] == [
        ("small", "seed=7"),
        ("imitation", "seed=7"),
        ("later", "seed=40"),
        ("small", "seed=8"),
        ("imitation", "seed=8"),
        ("later", "seed=41"),
    ]
    assert [cell.recipe.seed for cell in made.cells] == [7, 7, 40, 8, 8, 41]
    assert [cell.recipe_file for cell in made.cells[:3]] == [str(file) for file in others]
    assert made.cells[1].run.startswith("imitation-seed=7-")
    assert made.name.startswith("small-ablation-")


def test_options_are_combined_with_every_recipe_that_has_their_key(others: list[Path]) -> None:
    made = make_grid(others, read_axes([], ["loss.alpha=1,2", "train.epochs=3"]))
    assert labels(made) == ["small, alpha=1", "small, alpha=2", "imitation", "later"]
    assert [cell.recipe.train.epochs for cell in made.cells] == [3] * 4
    assert made.notes == (
        "--set loss.alpha is left out for imitation; later: unknown key for loss 'sft' (built in)",
    )
    made = make_grid(others[1:], read_axes(["denoise=none,consistency"], []))
    assert labels(made)[1:3] == ["imitation, denoise=consistency", "later, denoise=none"]


def test_recipes_of_one_name_are_refused(others: list[Path]) -> None:
    others[2].write_text("extends: small.yaml\nname: imitation\n", encoding="utf-8")
    told = r"imitate.yaml and .*later.yaml are both named 'imitation', .* another 'name'"
    with pytest.raises(UsageError, match=told):
        make_grid(others, ())


def test_a_mistake_of_one_recipe_names_its_file(others: list[Path]) -> None:
    others[1].write_text("extends: small.yaml\nloss: {use: sfft}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"imitate.yaml:2:\d+ .*'sfft'") as caught:
        make_grid(others, (), seeds=2)
    assert "(in the run imitate, seed=0 and 1 more)" in str(caught.value)


@pytest.mark.parametrize(
    ("sets", "seeds", "message"),
    [
        ([], 1, "nothing varies, so there is nothing to compare. Give several values"),
        (["train.epochs=2"], 1, "nothing varies"),
        (["seed=1,2"], 2, "--seeds and --set seed=... say the same. Leave one of them out."),
        (["train.epochs=1,2"], 600, "these options make 1,200 runs, and 1,000 is the most."),
    ],
)
def test_ablations_that_cannot_be(recipe: Path, sets, seeds, message) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        grid(recipe, sets=sets, seeds=seeds)
