"""``spa ablate`` as it is typed, with real runs of the tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spa.cli import main

Captured = pytest.CaptureFixture[str]
OPTIONS = ["tiny.yaml", "--swap", "loss=spa,simpo"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spa.cli import console

    monkeypatch.chdir(tmp_path)
    console.out.cache_clear()
    console.err.cache_clear()


@pytest.mark.usefixtures("recipe_file")
def test_dry_run_shows_runs_and_sharing_and_runs_nothing(capsys: Captured) -> None:
    options = [*OPTIONS, "--set", "loss.alpha=1,2", "--seeds", "2", "--dry-run"]
    assert main(["ablate", *options]) == 0
    said = capsys.readouterr().out
    rows = [" ".join(line.split()) for line in said.splitlines()]
    assert "sample 6 2 2 3 runs" in rows
    assert "train 6 6 6 1 run" in rows
    assert "6 runs of 78 stages in all: 42 different ones, of which 0 are in the store." in rows
    assert any(row.endswith("loss=spa, alpha=2, seed=1") for row in rows)
    assert "Note: --set loss.alpha is left out for loss=simpo" in said
    assert said.endswith(
        "Next: spa ablate tiny.yaml --swap loss=spa,simpo --set loss.alpha=1,2 --seeds 2\n"
    )
    assert not Path("runs").exists()
    assert main(["ablate", *options, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["kind"], len(record["cells"])) == ("ablation_plan", 6)


@pytest.mark.usefixtures("recipe_file")
def test_several_recipes_are_run_each_from_its_own_file(capfd: Captured) -> None:
    Path("plain.yaml").write_text("extends: tiny.yaml\nname: plain\nloss: {use: simpo}\n")
    command = ["ablate", "tiny.yaml", "plain.yaml", "--name", "both"]
    assert main(command) == 0
    said = capfd.readouterr().out
    assert said.endswith("Next: spa compare runs/both --format markdown\n")
    record = json.loads(Path("runs/both/ablation.json").read_text(encoding="utf-8"))
    assert record["command"] == "spa ablate tiny.yaml plain.yaml --name both"
    assert [cell["setting"] for cell in record["cells"]] == ["tiny", "plain"]
    logs = [Path("runs", cell["run"], "run.log").read_text() for cell in record["cells"]]
    assert [log.split()[:4] for log in logs] == [
        ["$", "spa", "run", "tiny.yaml"],
        ["$", "spa", "run", "plain.yaml"],
    ]
    assert main(["ablate", "tiny.yaml", "tiny.yaml"]) == 2
    assert "tiny.yaml and tiny.yaml are both named 'tiny'" in capfd.readouterr().err


@pytest.mark.usefixtures("recipe_file")
def test_mistakes_are_told_before_anything_runs(capsys: Captured) -> None:
    assert main(["ablate", "tiny.yaml"]) == 2
    assert "nothing varies" in capsys.readouterr().err
    assert main(["ablate", *OPTIONS, "--name", "a/b"]) == 2
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/run.json").write_text("{}")
    assert main(["ablate", *OPTIONS, "--name", "mine"]) == 2
    assert "runs/mine holds a run. Choose another --name." in capsys.readouterr().err


def manifests() -> dict[str, list[dict]]:
    found = {}
    for file in sorted(Path("runs").glob("*/run.json")):
        manifest = json.loads(file.read_text(encoding="utf-8"))
        found[file.parent.name] = manifest["stages"]
    return found


@pytest.mark.usefixtures("recipe_file")
def test_runs_share_what_they_can_and_failures_touch_no_other(capfd: Captured) -> None:
    """The second value cannot be run, as the tiny model's context is shorter."""
    command = ["ablate", *OPTIONS, "--set", "generate.max_tokens=5000,8", "--name", "mine"]
    assert main([*command, "--json"]) == 1
    said = capfd.readouterr()
    records = [json.loads(line) for line in said.out.splitlines()]
    assert [r["status"] for r in records if r["kind"] == "cell_finished"] == [
        "failed",
        "done",
        "failed",
        "done",
    ]
    assert records[0]["kind"] == "ablation_started"
    last = records[-1]
    assert (last["kind"], last["status"], last["folder"]) == ("ablation", "failed", "runs/mine")
    assert last["comparison"]["runs"] == ["loss=spa, max_tokens=8", "loss=simpo, max_tokens=8"]
    failed = [cell for cell in last["cells"] if cell["status"] == "failed"]
    assert "5,000 are to be generated, but the model's context is 1,536" in failed[0]["error"]
    assert f"Its output: runs/{failed[0]['run']}/run.log" in said.err
    assert said.err.endswith(
        "2 of 4 runs are not done. To run what is missing: spa ablate tiny.yaml --swap "
        "loss=spa,simpo --set generate.max_tokens=5000,8 --name mine\n"
    )
    done = [cell["run"] for cell in last["cells"] if cell["status"] == "done"]
    stages = manifests()
    # The run that failed before has read the prompts.
    assert [stage["name"] for stage in stages[done[0]] if stage["cached"]] == ["prompts"]
    assert [stage["name"] for stage in stages[done[1]] if not stage["cached"]] == [
        "train",
        "answer-round-1",
        "judge-answers-round-1",
        "evaluate-judge-scores",
    ]

    assert main(command) == 1  # what is done is not started again
    said = capfd.readouterr()
    log = Path("runs", done[0], "run.log").read_text(encoding="utf-8")
    assert log.count("$ spa run") == 1
    assert "Figures on held-out prompts" in said.out
    assert said.out.endswith("Next: spa compare runs/mine --format markdown\n")

    assert main(["compare", "runs/mine", "--format", "csv"]) == 0
    said = capfd.readouterr()
    assert said.out.startswith("evaluator,figure,model,run,")
    assert "Left out of mine, as they are not finished: " in said.err


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")
@pytest.mark.usefixtures("recipe_file")
def test_ctrl_c_lets_the_run_save_and_names_the_command_to_go_on() -> None:
    command = ["ablate", *OPTIONS, "--set", "train.epochs=200", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "spa", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["kind"] == "stage_progress" and event["stage"] == "train":
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.endswith(
        "Interrupted. What was finished is kept. Go on with: spa ablate tiny.yaml --swap "
        "loss=spa,simpo --set train.epochs=200\n"
    )
    last = json.loads(out.splitlines()[-1])
    assert [cell["status"] for cell in last["cells"]] == ["interrupted", "waiting"]
    assert list(Path("runs/store").glob("train-*/checkpoints/checkpoint-*"))


def test_help_names_what_is_special(capsys: Captured) -> None:
    assert main(["ablate", "--help"]) == 0
    assert "loss=spa,simpo" in capsys.readouterr().out


@pytest.mark.usefixtures("recipe_file")
def test_a_launcher_of_several_processes_is_refused(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert main(["ablate", *OPTIONS]) == 2
    assert "set train.processes or train.accelerate" in " ".join(capsys.readouterr().err.split())
