"""Recipes from strangers name plain values and registered components, and run nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from spa.cli import main
from spa.errors import RecipeError
from spa.recipe import load_recipe

TAGS = (
    "!!python/object/apply:os.system ['touch PWNED']",
    "!!python/object/new:os.system [touch PWNED]",
    "!!python/name:os.system",
    "!!python/module:os",
    "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch PWNED']",
    "!include /etc/passwd",
    "!env HOME",
)
DOTTED = (
    "os.system",
    "os:system",
    "spa.components.judges.constitution:ConstitutionJudge",
    "builtins/eval",
    "../../evil",
    "__import__('os').system('touch PWNED')",
)


def problems(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    return str(caught.value)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("key", ["seed", "loss", "judge"])
def test_tags_are_refused(recipe_file: Path, monkeypatch, tag: str, key: str) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(recipe_file.parent)
    said = problems(recipe_file, recipe_file.read_text() + f"\nextra: {tag}\n{key}: {tag}\n")
    assert "is not allowed: recipes hold plain values only" in said
    assert not (recipe_file.parent / "PWNED").exists()


@pytest.mark.parametrize("name", DOTTED)
@pytest.mark.parametrize("section", ["loss", "judge", "generate", "pairs"])
def test_components_are_registered_names_alone(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch, name: str, section: str
) -> None:
    monkeypatch.chdir(recipe_file.parent)
    text = "\n".join(
        f"{section}: {{use: {json.dumps(name)}}}" if line.startswith(f"{section}:") else line
        for line in recipe_file.read_text().splitlines()
    )
    said = problems(recipe_file, text)
    assert "registered names only, no import paths" in said or "Valid names: " in said
    assert not (recipe_file.parent / "PWNED").exists()


def test_environment_variables_are_not_put_in(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPA_CANARY", "canary-of-the-environment")
    text = recipe_file.read_text().replace(
        "Be kind.", "'${SPA_CANARY} $SPA_CANARY {{ SPA_CANARY }}'"
    )
    recipe_file.write_text(text)
    resolved = json.dumps(load_recipe(recipe_file).resolved())
    assert "${SPA_CANARY} $SPA_CANARY" in resolved
    assert os.environ["SPA_CANARY"] not in resolved


def test_a_strangers_recipe_does_not_allow_a_models_code(recipe_file: Path) -> None:
    text = recipe_file.read_text().replace("{use: hf,", "{use: hf, trust_remote_code: true,")
    assert "code that comes with the model would run" in problems(recipe_file, text)


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/b", "..", "store", "a\nb"])
def test_names_of_recipes_and_runs_are_one_folder(
    recipe_file: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = sorted(recipe_file.parent.parent.rglob("*"))
    text = recipe_file.read_text().replace("name: tiny", f"name: {json.dumps(name)}")
    recipe_file.write_text(text)
    if name != "store":  # a run's folder has a hash behind the recipe's name
        assert main(["validate", str(recipe_file)]) == 2
    arguments = ["run", str(recipe_file), "--set", "name=x", "--name", name]
    assert main([*arguments, "--dry-run"]) == main(arguments) == 2
    assert sorted(recipe_file.parent.parent.rglob("*")) == before
    assert "Traceback" not in capsys.readouterr().err


def test_a_bomb_of_aliases_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    file = tmp_path / "bomb.yaml"
    said = problems(file, "\n".join(lines))
    assert "bomb.yaml" in said
    assert len(said) < 100_000
