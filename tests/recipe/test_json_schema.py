from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from spa.plugins.catalogue import Catalogue, load_catalogue
from spa.plugins.component import Component
from spa.plugins.discovery import Entry, Plugin
from spa.recipe.json_schema import DIALECT, recipe_schema
from spa.recipe.reading import read_text
from spa.recipe.tree import Place, plain

RECIPES = sorted(
    path
    for path in (Path(__file__).parents[2] / "recipes").rglob("*.yaml")
    if path.parent.name != "accelerate"  # configuration files of accelerate
)


def values(text: str) -> Any:
    node, problems = read_text(text, Place("r.yaml", 1, 1))
    assert problems == []
    assert node is not None
    return plain(node)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = recipe_schema(load_catalogue())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_good_recipe(validator: Draft202012Validator, text: str) -> None:
    assert [error.message for error in validator.iter_errors(values(text))] == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_shipped_recipes(validator: Draft202012Validator, path: Path) -> None:
    found = validator.iter_errors(values(path.read_text(encoding="utf-8")))
    assert [error.message for error in found] == []


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ("  backend: null\n", "  temprature: 0\n", ["judge"]),
        ("  backend: null\n", "  backend: {use: nobody}\n", ["judge", "backend"]),
        ("beta: 3", "beta: '3'", ["loss", "beta"]),
        ("use: spa\n", "use: nobody\n", ["loss", "use"]),
        ("  use: spa\n", "", ["loss"]),
        ("  path: prompts.jsonl\n", "", ["prompts"]),
        ("{heldout: 4}", "{held: 4}", ["prompts", "split"]),
        ("name: example", "nam: example", []),
        ("max_determinant: 2.5", "max_determinant: -1", ["denoise", 1, "max_determinant"]),
        ("  - use: consistency\n", "  - {}\n", ["denoise", 0]),
        ("lora: {r: 4}", "lora: {rank: 4}", ["train", "lora"]),
        ("[{use: judge-scores}]", "{use: judge-scores}", ["evaluate"]),
        ("pairs:\n  use: lexicographic\n  margin: 0.5\n", "", []),
    ],
)
def test_wrong_recipes(
    validator: Draft202012Validator, text: str, old: str, new: str, at: list[str | int]
) -> None:
    assert text.count(old) == 1
    found = list(validator.iter_errors(values(text.replace(old, new))))
    places = [list(error.absolute_path) for error in found]
    assert places, "the schema takes a wrong recipe"
    assert all(place[: len(at)] == at for place in places)


OTHER = "backend: {use: hf, path: other}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  use: diverse\n", f"  use: diverse\n  {OTHER}\n"),
        ("  use: self-refine\n", f"  use: self-refine\n  {OTHER}\n"),
        ("  use: self-refine\n", "  use: none\n"),
        ("[{use: judge-scores}]", f"[{{use: judge-scores, {OTHER}}}]"),
        ("  backend: null\n", "  backend: {use: none}\n"),
        (
            "  use: constitution\n  backend: null\n",
            f"  use: ensemble\n  members: [{{use: constitution, {OTHER}}}]\n  combine: median\n",
        ),
    ],
)
def test_backends_and_members(
    validator: Draft202012Validator, text: str, old: str, new: str
) -> None:
    assert text.count(old) == 1
    found = validator.iter_errors(values(text.replace(old, new)))
    assert [error.message for error in found] == []


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ("  use: diverse\n", "  use: diverse\n  backend: {use: no}\n", ["generate", "backend"]),
        (
            "[{use: judge-scores}]",
            "[{use: judge-scores, backend: {use: hf, pth: x}}]",
            ["evaluate", 0, "backend"],
        ),
        ("  use: spa\n", "  use: none\n", ["loss", "use"]),
        ("  margin: 0.5", "  backend: null", ["pairs"]),
        (
            "  use: constitution\n  backend: null\n",
            "  use: ensemble\n  members: [{use: constitution}, {use: ensemble, members: []}]\n",
            ["judge", "members", 1, "use"],
        ),
        (
            "  use: constitution\n  backend: null\n",
            "  use: ensemble\n  members: [{use: constitution, temprature: 1}]\n",
            ["judge", "members", 0],
        ),
        ("  use: constitution\n  backend: null\n", "  use: ensemble\n", ["judge"]),
    ],
)
def test_wrong_backends_and_members(
    validator: Draft202012Validator, text: str, old: str, new: str, at: list[str | int]
) -> None:
    test_wrong_recipes(validator, text, old, new, at)


def test_recipe_that_extends_another_may_be_short(validator: Draft202012Validator) -> None:
    short = "extends: base.yaml\nloss: {beta: null}\nprompts: {use: jsonl}\nrefine: null\n"
    assert [error.message for error in validator.iter_errors(values(short))] == []
    assert list(validator.iter_errors(values("extends: b.yaml\nloss: {use: spa, bta: 1}\n")))


def test_qualified_names(validator: Draft202012Validator, text: str) -> None:
    qualified = text.replace("use: spa\n", "use: spa-align/spa\n")
    assert list(validator.iter_errors(values(qualified))) == []


def test_keys_are_described(catalogue: Catalogue) -> None:
    schema = recipe_schema(catalogue)
    assert schema["$schema"] == DIALECT
    missing = [key for key, part in schema["properties"].items() if "description" not in part]
    assert missing == []
    assert schema["$defs"]["loss.spa-align.spa"]["properties"]["alpha"]["description"]


def test_component_that_cannot_be_imported_is_taken_with_any_keys(
    catalogue: Catalogue, text: str
) -> None:
    record = Component(name="rules", impl="gone:Judge", config="gone:Config", summary="Rules")
    plugin = Plugin("rules", "spa-rules", "0.3", "gone", entries=(Entry("judge", record),))
    schema = recipe_schema(Catalogue([*catalogue.plugins, plugin]))
    wide = text.replace("use: constitution\n  backend: null", "use: rules\n  anything: 1")
    assert list(Draft202012Validator(schema).iter_errors(values(wide))) == []
