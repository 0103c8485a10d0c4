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
    Path("prompts.jsonl").write_text('{"prompt": "Hello?"}\n', encoding="utf-8")
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


def test_files_that_are_not_there_are_named_where_the_recipe_names_them(tmp_path: Path) -> None:
    """Names of the hub, such as the model's here, are not looked up."""
    Path("prompts.jsonl").unlink()
    (tmp_path / "empty").mkdir()
    judge = "judge: {use: constitution, backend: {use: hf, path: ./empty}}"
    text = RECIPE.replace("judge: {use: constitution}", judge).replace(
        "refine: {use: self-refine}",
        "refine: {use: self-refine, backend: {use: hf, path: org/model, adapter: mine}}",
    )
    Path("bad.yaml").write_text(text, encoding="utf-8")
    result = runner.invoke(app, ["bad.yaml"])
    assert result.exit_code == 2
    correct = (
        "does not exist. Paths in a recipe are relative to the recipe file: correct this one, or "
        "put the file there."
    )
    assert result.stderr.splitlines() == [
        f"bad.yaml:4:23  prompts.path: {tmp_path}/prompts.jsonl {correct}",
        f"bad.yaml:6:47  judge.backend.path: model '{tmp_path}/empty': {tmp_path}/empty holds no "
        "config.json, so it is no model folder.",
        f"bad.yaml:7:64  refine.backend.adapter: {tmp_path}/mine {correct}",
        "3 problems. Nothing was run. Once mended, check again with: spa validate bad.yaml",
    ]


def test_a_folder_of_a_model_that_is_not_there(tmp_path: Path) -> None:
    result = runner.invoke(app, ["good.yaml", "--set", "model.path=./gone"])
    assert result.exit_code == 2
    assert result.stderr.startswith(
        f"--set model.path=./gone  model.path: model '{Path.cwd()}/gone': no such file or folder. "
        "Give a folder with safetensors weights, a .gguf file,"
    )


def test_rows_of_prompts_that_cannot_be_used_are_all_counted(tmp_path: Path) -> None:
    Path("prompts.jsonl").write_text('{"prompt": "Hi"}\n{"prompt": }\n', encoding="utf-8")
    file = f"{tmp_path}/prompts.jsonl"
    result = runner.invoke(app, ["good.yaml"])
    assert result.exit_code == 2
    wrong = "not valid JSON: Expecting value (column 12)."
    assert result.stderr.startswith(f"good.yaml:4:1  prompts: {file}:2: {wrong}\n1 problem. ")
    lines = ['{"prompt": ""}', '{"prompt": "Hi"}', '{"text": "Hi"}', *['{"prompt": }'] * 10]
    Path("prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    result = runner.invoke(app, ["good.yaml"])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"good.yaml:4:1  prompts: prompt file {file}: 12 rows cannot be used:",
        f"  {file}:1: the prompt in column 'prompt' is empty. Fill in or remove it.",
        f"  {file}:3: there is no column 'prompt'. Present: 'text'. Name the right one with "
        "prompt_column.",
        *(f"  {file}:{line}: {wrong}" for line in range(4, 12)),
        "  and 2 more",
        "1 problem. Nothing was run. Once mended, check again with: spa validate good.yaml",
    ]


def test_prompts_that_cannot_be_divided(tmp_path: Path) -> None:
    rows = '{"id": "a", "prompt": "Hi"}\n{"id": "b", "prompt": "Ho"}\n'
    Path("prompts.jsonl").write_text(rows, encoding="utf-8")
    result = runner.invoke(app, ["good.yaml", "--set", "prompts.split.heldout=2"])
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "--set prompts.split.heldout=2  prompts.split.heldout: 2 prompts are to be held out, but "
        "there are only 2, so none is left to train on. Lower it or give more prompts.\n"
    )
    Path("prompts.jsonl").write_text(rows.replace("Ho", "Hi"), encoding="utf-8")
    result = runner.invoke(app, ["good.yaml", "--set", "prompts.split.heldout=1"])
    assert result.exit_code == 2
    assert "so many repeat (a, b, ...) that only 0 can be. Remove the repeti" in result.stderr


def test_sources_without_a_file_are_not_asked() -> None:
    """A dataset of the hub may need a network."""
    swap = ["--swap", "prompts=datasets", "--set", "prompts.name=org/nothing-like-this"]
    assert runner.invoke(app, ["good.yaml", *swap]).exit_code == 0


def test_problems_of_a_recipe_that_others_extend_are_told_once() -> None:
    for name in ("one", "two"):
        Path(f"{name}.yaml").write_text(f"extends: bad.yaml\nname: {name}\n", encoding="utf-8")
    alone = runner.invoke(app, ["one.yaml"]).stderr.splitlines()
    both = runner.invoke(app, ["one.yaml", "two.yaml"]).stderr.splitlines()
    count = len(alone) - 1
    told = "a problem that is" if count == 1 else f"{count} problems that are"
    assert both[:-1] == [*alone[:-1], f"two.yaml: {told} told above"]
    assert both[-1].startswith(alone[-1].partition(".")[0])


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
