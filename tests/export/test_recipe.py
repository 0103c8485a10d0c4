"""``spa export RUN > recipe.yaml``: the very recipe of the run, from whatever folder it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from made_run import make_run
from ruamel.yaml import YAML

from spa.cli import main
from spa.engine.stored_run import StoredRun
from spa.errors import SpaError
from spa.export.recipe import recipe_yaml
from spa.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [*sorted((ROOT / "recipes").glob("*.yaml"))]
NASTY = [
    "",
    " ",
    "yes",
    "no",
    "1e-5",
    "0x1f",
    "null",
    "~",
    "- a",
    "a: b",
    "# c",
    "{x}",
    "[y]",
    "*z",
    "&a",
    "!!python/object/apply:os.system ['id']",
    "%YAML 1.1",
    "---",
    "...",
    "two\nlines",
    "two\nlines\n",
    "\nfirst empty",
    " indented\nfirst",
    "trailing \nspace",
    "end\n\n",
    "tab\tin\nit",
    'quote " \\',
    "it's",
    "\x1b[31m",
    "\u2028\x85\ufeff",
    "\U0001f600",
    "x" * 300,
    "a\n\n  b\nc",
    "?",
    "@at",
    "`t`",
    "@",
    "|",
    ">",
    "1_000",
    ".inf",
    "-",
    "a #b",
    "a:",
    "é",
]


def run_of(recipe: Mapping[str, Any], name: str = "r") -> StoredRun:
    return StoredRun(Path("runs/r"), {"name": name, "recipe": json.loads(json.dumps(recipe))})


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_recipe_comes_back_from_another_folder(file: Path, tmp_path: Path) -> None:
    try:
        resolved = load_recipe(file).resolved()
    except SpaError as error:
        pytest.skip(f"it cannot be loaded here: {error}")
    again = tmp_path / "elsewhere" / "recipe.yaml"
    again.parent.mkdir()
    again.write_text(recipe_yaml(run_of(resolved)), encoding="utf-8")
    assert load_recipe(again).resolved() == resolved


def test_the_tiny_recipe_with_overrides_comes_back(recipe_file: Path, tmp_path: Path) -> None:
    sets = ["train.learning_rate=1e-5", "generate.system_prompts=['a: b', \"c\\nd\\n\"]", "seed=3"]
    resolved = load_recipe(recipe_file, sets=sets, swaps=["loss=dpo"]).resolved()
    (tmp_path / "x").mkdir()
    again = tmp_path / "x" / "recipe.yaml"
    again.write_text(recipe_yaml(run_of(resolved)), encoding="utf-8")
    assert load_recipe(again).resolved() == resolved
    assert main(["validate", str(again)]) == 0


@pytest.mark.parametrize("text", NASTY)
def test_every_text_comes_back_also_for_other_readers(text: str) -> None:
    value = {"name": text, "list": [text, {text or "k": text, "in": [[text], {}]}, []], "n": None}
    written = recipe_yaml(run_of(value))
    assert YAML(typ="safe", pure=True).load(written) == value


@pytest.mark.parametrize("number", [0, -3, 1e-05, 1e16, 0.1, 2.0, True, None, 10**30])
def test_every_number_keeps_its_kind(number: object) -> None:
    found = YAML(typ="safe", pure=True).load(recipe_yaml(run_of({"x": number})))["x"]
    assert (found, type(found)) == (number, type(number))


def test_a_name_cannot_break_out_of_the_comment() -> None:
    written = recipe_yaml(run_of({"name": "a"}, "x\nseed: 7\x1b[2J"))
    assert YAML(typ="safe", pure=True).load(written) == {"name": "a"}
    assert "\x1b" not in written


def test_it_goes_to_stdout_or_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "runs")
    assert main(["export", str(run)]) == 0
    text = capsys.readouterr().out
    assert text.startswith('# The exact recipe of run "made-1"')
    assert "for another machine: model.path, prompts.path\n" in text
    assert YAML(typ="safe", pure=True).load(text)["seed"] == 7
    file = tmp_path / "recipe.yaml"
    assert main(["export", str(run), "-o", str(file)]) == 0
    assert file.read_text(encoding="utf-8") == text
    assert capsys.readouterr().out == f"Next: spa validate {file}\n"
    assert main(["export", str(run), "--format", "recipe", "-o", str(file)]) == 1
    assert main(["export", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-f", "trl"], "format trl writes a folder: say which with --output FOLDER."),
        (["-f", "recipe", "--round", "1"], "--round chooses among preference pairs"),
        (["--round", "1"], "--round needs --output and --format llamafactory or parquet or trl."),
    ],
)
def test_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    run = make_run(tmp_path / "runs")
    assert main(["export", str(run), *options]) == 2
    assert said in capsys.readouterr().err
