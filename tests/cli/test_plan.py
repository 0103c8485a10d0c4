"""``spa plan`` as it is typed, and ``spa run --resume``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from spa.cli import main
from spa.cli import plan as module
from spa.engine.planning import RunPlan, StagePlan

Captured = pytest.CaptureFixture[str]
PROBE = """
import sys
from spa.cli import main
code = main(sys.argv[1:])
print("IMPORTED", *sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("recipe_file")
def test_a_table_with_the_next_command(capsys: Captured) -> None:
    assert main(["plan", "tiny.yaml", "--set", "loss.alpha=2"]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert max(map(len, lines[:-1])) <= 100
    assert any(line.startswith("sample ") and "to do" in line for line in lines)
    assert "    waits for train: its policy is not trained yet" in lines
    assert sum(line.startswith("Note: the model judged its own answers.") for line in lines) == 1
    assert lines[-1] == "Nothing was run. Next: spa run tiny.yaml --set loss.alpha=2"
    assert not Path("runs").exists()


@pytest.mark.usefixtures("recipe_file")
def test_json(capsys: Captured) -> None:
    assert main(["plan", "tiny.yaml", "--name", "mine", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["kind"], record["name"]) == ("plan", "mine")
    sample = next(stage for stage in record["stages"] if stage["title"] == "sample")
    assert (sample["status"], sample["requests"], sample["changed"]) == ("miss", 21, [])
    assert record["totals"]["requests"]["value"] > 21
    assert [note[:40] for note in record["notes"]] == ["the model judged its own answers. Models"]
    assert record["totals"]["seconds"] == {"value": None, "unknown": len(record["stages"])}


def test_a_recipe_with_mistakes_is_refused(capsys: Captured) -> None:
    Path("bad.yaml").write_text("name: bad\n", encoding="utf-8")
    assert main(["plan", "bad.yaml"]) == 2
    assert "bad.yaml" in capsys.readouterr().err


@pytest.mark.usefixtures("recipe_file")
def test_planning_imports_neither_torch_nor_transformers() -> None:
    sets = ["--set", "model.device=cpu", "--set", "model.dtype=float32"]
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, "plan", "tiny.yaml", *sets],
        capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert not {"torch", "transformers", "peft"} & set(ran.stderr.split())


@pytest.mark.usefixtures("recipe_file")
def test_resume_takes_three_words(capsys: Captured) -> None:
    assert main(["run", "tiny.yaml", "--resume", "sometimes"]) == 2
    assert "auto, always, never" in capsys.readouterr().err
    assert main(["run", "tiny.yaml", "--resume", "always"]) == 2
    assert "nothing to go on with" in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.usefixtures("recipe_file")
def test_a_run_begun_anew_is_gone_on_with_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def stop(loaded: object, runs: object, name: object, again: str, **_: object) -> None:
        said.append(again)
        raise typer.Exit(1)

    monkeypatch.setattr("spa.cli.run.carry_out", stop)
    Path("runs/mine").mkdir(parents=True)
    words = ["--name", "mine", "--resume", "never", "--max-failures", "5%"]
    assert main(["run", "tiny.yaml", *words]) == 1
    assert said == ["spa run tiny.yaml --name mine-2 --max-failures 5%"]
    assert main(["run", "tiny.yaml", "--name", "other", "--dry-run"]) == 0


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Callable[[RunPlan], str]:
    return lambda found: "\n".join(module._lines(found))


def test_a_disk_that_is_too_small_is_named(shown: Callable[[RunPlan], str]) -> None:
    stage = StagePlan("sample", 1, "", "k", "miss", bytes=3 << 30)
    said = shown(RunPlan("r", (stage,), free_bytes=1 << 30))
    assert "it needs about 3.2 GB on disk, and 1.1 GB are free" in said
    assert "Warning" not in shown(RunPlan("r", (stage,), free_bytes=4 << 30))


def test_nothing_to_do_is_said(shown: Callable[[RunPlan], str]) -> None:
    stage = StagePlan("sample", 1, "sample-0", "k", "hit", 7, 7, 0, 0, 0, 0.0, 0)
    assert "asks nothing and trains nothing" in shown(RunPlan("r", (stage,)))


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (0.0, "0"), (0.001, "0.1s"), (600, "10:00")]
)
def test_times(seconds: float | None, text: str) -> None:
    assert module._time(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "?"), (21, "21"), (21_000, "21,000"), (210_000, "210k"), (3e6, "3.0M")],
)
def test_numbers(count: float | None, text: str) -> None:
    assert module._number(count) == text
