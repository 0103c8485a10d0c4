"""``spa run`` as it is typed: what it prints, and its exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spa.cli import main
from spa.engine.pipeline import default_run_name
from spa.recipe import load_recipe

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spa.cli import console

    monkeypatch.chdir(tmp_path)
    console.out.cache_clear()
    console.err.cache_clear()


def folder() -> Path:
    (found,) = [path for path in Path("runs").iterdir() if path.name != "store"]
    return found


@pytest.mark.usefixtures("recipe_file")
def test_a_run_ends_with_funnel_scores_adapter_and_next_command(capsys: Captured) -> None:
    assert main(["run", "tiny.yaml"]) == 0
    said = capsys.readouterr()
    for text in (
        "Funnel",
        "paired (",
        "judge-scores on 3 held-out prompts (95 % interval)",
        "round-1 - base",
        "Note: the model judged its own answers.",
        "Judge:   not checked. To check it: spa judge-check tiny.yaml\n",
        f"Run:     {folder()}/run.json",
        f"Next:    spa export {folder()} --format merged --output merged-model",
    ):
        assert text in said.out
    adapter = next(line for line in said.out.splitlines() if line.startswith("Adapter: "))
    assert Path(adapter.removeprefix("Adapter: "), "adapter_model.safetensors").is_file()
    stages = [line.split()[1:3] for line in said.err.splitlines() if " done " in line]
    assert ["sample", "done"] in stages
    assert ["train", "done"] in stages

    assert main(["export", str(folder()), "--format", "merged", "--output", "merged"]) == 0
    assert Path("merged", "model.safetensors").is_file()
    capsys.readouterr()

    assert main(["run", "tiny.yaml"]) == 0
    again = capsys.readouterr()
    assert "cached" in again.err
    assert "running" not in again.err
    assert again.out == said.out


@pytest.mark.usefixtures("recipe_file")
def test_json_prints_events_and_the_end_on_stdout(capsys: Captured) -> None:
    assert main(["run", "tiny.yaml", "--json", "--name", "mine"]) == 0
    said = capsys.readouterr()
    records = [json.loads(line) for line in said.out.splitlines()]
    assert records[0]["kind"] == "run_started"
    assert records[-1]["kind"] == "result"
    assert records[-1]["folder"] == "runs/mine"
    assert records[-1]["status"] == "done"


@pytest.mark.usefixtures("recipe_file")
def test_dry_run_looks_at_the_prompts(capsys: Captured) -> None:
    assert main(["run", "tiny.yaml", "--dry-run", "--set", "prompts.split.heldout=500"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "500 prompts are to be held out, but there are only" in err


@pytest.mark.usefixtures("recipe_file")
def test_dry_run_lists_the_stages_and_runs_nothing(capsys: Captured) -> None:
    assert main(["run", "tiny.yaml", "--dry-run", "--set", "loss.beta=3"]) == 0
    said = capsys.readouterr().out
    assert "  judge-refined\n" in said
    assert said.endswith("Nothing was run. Next: spa run tiny.yaml --set loss.beta=3\n")
    assert not Path("runs").exists()
    assert main(["run", "tiny.yaml", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"][0] == "prompts"


@pytest.mark.usefixtures("recipe_file")
def test_the_next_command_leaves_out_the_same_plugins(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPA_PLUGINS", "")  # restored afterwards: -P writes it
    before = ["-P", "none", "-P", "no:spa-rubric"]
    assert main([*before, "run", "tiny.yaml", "--dry-run", "--name", "a b"]) == 0
    assert capsys.readouterr().out.endswith(
        "Next: spa -P none -P no:spa-rubric run tiny.yaml --name 'a b'\n"
    )
    assert main([*before, "validate", "tiny.yaml"]) == 0
    assert capsys.readouterr().out.endswith("Next: spa -P none -P no:spa-rubric run tiny.yaml\n")


@pytest.mark.usefixtures("recipe_file")
def test_no_pair_left_shows_the_funnel_and_advice(capsys: Captured) -> None:
    command = [
        "run",
        "tiny.yaml",
        "--name",
        "mine",
        "--set",
        "pairs.margin=1000",
        "--set",
        "seed=1",
    ]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "paired (0 pairs)" in said.out
    assert "7 no_pair" in said.out
    before, _, following = said.err.rpartition("Next: ")
    assert before.endswith(
        "no preference pair is left, so nothing was trained.\n"
        "The score differences are below the margin: lower pairs.margin.\n"
        "More prompts give more groups that can be kept.\n"
    )
    assert re.fullmatch(
        r"spa run tiny\.yaml --set seed=1 --set pairs\.margin=0\.0?\d\d?\n", following
    )
    assert main(following.split()[1:]) == 0


@pytest.mark.usefixtures("recipe_file")
def test_no_pair_left_and_no_one_setting_that_helps(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spa.components.judges.constitution import ConstitutionJudge

    monkeypatch.setattr(ConstitutionJudge, "score", lambda *_: {})
    assert main(["run", "tiny.yaml", "--name", "mine", "--json"]) == 1
    said = capsys.readouterr()
    assert said.err.endswith(
        "More prompts give more groups that can be kept.\n"
        "Next: change the recipe, then type: spa run tiny.yaml --name mine\n"
    )
    last = json.loads(said.out.splitlines()[-1])
    assert last["kind"] == "run_failed"
    scored = {"name": "scored", "prompts": 0, "lost": {"unscored": 7}, "pairs": None}
    assert scored in last["details"]["funnel"]


@pytest.mark.usefixtures("recipe_file")
def test_json_says_why_a_run_failed(capsys: Captured) -> None:
    assert main(["run", "tiny.yaml", "--json", "--set", "generate.max_tokens=5000"]) == 1
    said = capsys.readouterr()
    last = json.loads(said.out.splitlines()[-1])
    assert (last["kind"], last["details"]["status"]) == ("run_failed", "failed")
    assert said.err.endswith(f"{last['details']['error']}\n")


def test_mistakes_are_one_message_and_no_traceback(recipe_file: Path, capsys: Captured) -> None:
    Path("runs").write_text("in the way")
    assert main(["run", "tiny.yaml"]) == 1
    name = default_run_name(load_recipe(recipe_file))
    assert capsys.readouterr().err == (
        f"runs/{name}: a file is in the way of a folder. Move it, or choose another --runs-dir.\n"
    )


@pytest.mark.usefixtures("recipe_file")
def test_a_model_that_is_not_there(capsys: Captured) -> None:
    assert main(["run", "tiny.yaml", "--set", "model.path=./nowhere"]) == 2
    assert "no such file or folder. Give a folder with safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["store", "..", "a/b"])
@pytest.mark.usefixtures("recipe_file")
def test_a_run_cannot_be_named_like_a_path(name: str, capsys: Captured) -> None:
    assert main(["run", "tiny.yaml", "--name", name]) == 2
    assert "cannot name a run" in " ".join(capsys.readouterr().err.split())


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")
@pytest.mark.usefixtures("recipe_file")
def test_ctrl_c_keeps_what_was_finished_and_prints_the_command_to_go_on() -> None:
    arguments = ["run", "tiny.yaml", "--set", "train.epochs=200"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; from spa.cli import main; sys.exit(main({arguments}))",
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "train" in line and "running" in line:
            process.send_signal(signal.SIGINT)
            break
    said += process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert said.endswith(
        "Interrupted. What was finished is kept. Go on with: "
        "spa run tiny.yaml --set train.epochs=200\n"
    )
    assert json.loads((folder() / "run.json").read_text())["status"] == "interrupted"
