from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from spa.cli.validate import validate

RECIPE = """\
name: example
objectives: [{name: safety, definition: "Does no harm."}]
model: {use: hf, path: weights}
prompts: {use: jsonl, path: prompts.jsonl}
generate: {use: diverse}
judge: {use: constitution}
refine: {use: self-refine}
denoise: [{use: consistency}]
pairs: {use: lexicographic}
loss: {use: spa}
"""

app = typer.Typer()
app.command()(validate)
runner = CliRunner()


@pytest.fixture(autouse=True)
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPA_PLUGINS", "none")
    Path("good.yaml").write_text(RECIPE, encoding="utf-8")
    Path("bad.yaml").write_text(RECIPE + "sed: 1\niterations: x\n", encoding="utf-8")


def test_ok() -> None:
    result = runner.invoke(app, ["good.yaml"])
    assert result.exit_code == 0
    assert result.stdout == (
        "ok  good.yaml  example: safety; model hf, judge constitution, denoise consistency, "
        "loss spa, 1 iteration\n"
        "Next: spa run good.yaml\n"
    )
    assert result.stderr == ""


def test_a_judge_that_is_the_policy_is_noted() -> None:
    measured = ["good.yaml", "--set", "evaluate=[{use: judge-scores}]"]
    result = runner.invoke(app, measured)
    assert result.exit_code == 0
    ok, note, following = result.stdout.splitlines()
    assert ok.startswith("ok  good.yaml")
    assert note.startswith("Note: the model judged its own answers.")
    assert following.startswith("Next: ")
    [record] = json.loads(runner.invoke(app, [*measured, "--json"]).stdout)
    assert record["notes"] == [note.removeprefix("Note: ")]
    quiet = ["good.yaml", "--set", "evaluate=[{use: judge-scores, kin_judge: known}]"]
    assert "Note" not in runner.invoke(app, quiet).stdout


def test_overrides_are_part_of_the_next_command() -> None:
    options = ["--swap", "loss=simpo", "--set", "generate.system_prompts=[a b]"]
    result = runner.invoke(app, ["good.yaml", *options])
    assert result.exit_code == 0
    assert "loss simpo" in result.stdout
    assert result.stdout.splitlines()[-1] == (
        "Next: spa run good.yaml --swap loss=simpo --set 'generate.system_prompts=[a b]'"
    )


def test_problems() -> None:
    result = runner.invoke(app, ["good.yaml", "bad.yaml", "gone.yaml"])
    assert result.exit_code == 2
    assert result.stdout.startswith("ok  good.yaml")
    assert result.stderr.splitlines() == [
        "bad.yaml:11:1  sed: unknown key. Did you mean 'seed'?",
        "bad.yaml:12:13  iterations: expected a whole number, got 'x'",
        "gone.yaml  no such file. Recipes in that folder: bad.yaml, good.yaml",
        "3 problems. Nothing was run. Once mended, check again with: "
        "spa validate bad.yaml gone.yaml",
    ]


def test_json() -> None:
    result = runner.invoke(app, ["good.yaml", "bad.yaml", "--json"])
    assert result.exit_code == 2
    good, bad = json.loads(result.stdout)
    assert (good["recipe"], good["ok"], good["resolved"]["name"]) == ("good.yaml", True, "example")
    assert bad == {
        "recipe": "bad.yaml",
        "ok": False,
        "problems": [
            {
                "message": "unknown key. Did you mean 'seed'?",
                "file": "bad.yaml",
                "line": 11,
                "column": 1,
                "path": "sed",
            },
            {
                "message": "expected a whole number, got 'x'",
                "file": "bad.yaml",
                "line": 12,
                "column": 13,
                "path": "iterations",
            },
        ],
    }
    assert result.stderr == ""


def test_control_characters_of_a_recipe_never_reach_the_terminal() -> None:
    Path("bad.yaml").write_text(RECIPE + '"\\e]0;owned\\a\\x9b2J": 1\n', encoding="utf-8")
    result = runner.invoke(app, ["bad.yaml"])
    assert result.exit_code == 2
    assert result.stderr.splitlines()[0].startswith(
        "bad.yaml:11:1  \\x1b]0;owned\\x07\\x9b2J: unknown key."
    )
    result = runner.invoke(app, ["bad.yaml", "--json"])
    assert "\x1b" not in result.stdout
    assert "\x9b" not in result.stdout
    assert json.loads(result.stdout)[0]["problems"][0]["path"] == "\x1b]0;owned\x07\x9b2J"


def test_deep_nesting_is_a_problem_like_others() -> None:
    Path("bad.yaml").write_text("{" * 400, encoding="utf-8")
    result = runner.invoke(app, ["bad.yaml"])
    assert result.exit_code == 2
    assert "more than 50 levels inside each other" in result.stderr
