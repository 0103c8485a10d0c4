"""``spa retry`` and ``spa run --max-failures`` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from quick_model import QuickModel

from spa.cli import main

Captured = pytest.CaptureFixture[str]
RUN = ["run", "tiny.yaml", "--name", "mine"]


@pytest.fixture
def model(recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QuickModel:
    from spa.cli import console

    assert recipe_file.parent == tmp_path
    monkeypatch.chdir(tmp_path)
    console.out.cache_clear()
    console.err.cache_clear()
    return QuickModel(monkeypatch)


def some_prompts_fail(reasons: tuple[str, ...]) -> Callable[[str], str | None]:
    """Fails on the first prompts that are sampled, for one reason each."""
    failing: dict[str, str] = {}

    def fails(text: str) -> str | None:
        if text.startswith("Question number") and text not in failing:
            failing[text] = reasons[len(failing)] if len(failing) < len(reasons) else ""
        return failing.get(text) or None

    return fails


def test_a_run_says_what_failed_and_a_retry_tries_what_may_be_done(
    model: QuickModel, capsys: Captured
) -> None:
    model.fails = some_prompts_fail(("timeout", "too_long"))
    assert main(RUN) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Note: rows that failed: 2 in sample (1 timeout, 1 too_long)." in said
    assert "What may help: spa retry runs/mine" in said

    assert main(["retry", "runs/mine", "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        "sample: 1 timeout, 1 too_long\n"
        "Another try does not change 1 too_long: shorten the prompts or lower max_tokens.\n"
        "Nothing was run. To try 1 timeout again: spa retry runs/mine\n"
    )

    assert main(["retry", "runs/mine"]) == 1  # it still fails
    told = capsys.readouterr()
    assert "Retried: sample: 0 of 1 done, 2 rows of the stage still failed\n" in told.out
    assert "the run is as it was" in told.err
    assert "type: spa retry runs/mine\n" in told.err

    model.fails = lambda _: None
    assert main(["retry", "runs/mine"]) == 0
    told = capsys.readouterr()
    assert "Retried: sample: 1 of 1 done, 1 rows of the stage still failed\n" in told.out
    assert "Next:    spa export runs/mine" in told.out

    assert main(["retry", "runs/mine"]) == 0
    assert "To try such rows all the same: spa retry runs/mine --reason too_long" in (
        capsys.readouterr().out
    )
    assert main(["retry", "runs/mine", "--reason", "timeout"]) == 2
    assert "no row failed for the reason 'timeout'" in capsys.readouterr().err

    assert main(["retry", "runs/mine", "--reason", "too_long", "--json"]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (record["kind"], record["changed"], record["status"]) == ("result", True, "done")
    assert record["retried"] == [
        {"stage": "sample", "tried": 1, "done": 1, "failed": 0, "stored": False}
    ]
    assert main(["retry", "runs/mine"]) == 0
    assert capsys.readouterr().out == "No row of this run failed. Nothing to try again.\n"


def test_a_run_stops_where_too_much_fails(model: QuickModel, capsys: Captured) -> None:
    model.fails = some_prompts_fail(("timeout", "timeout"))
    assert main([*RUN, "--max-failures", "1"]) == 1
    said = capsys.readouterr().err
    assert "stage sample: 2 of 7 rows failed so far, more than --max-failures 1 allows" in said
    assert said.endswith(": spa run tiny.yaml --name mine --max-failures 1\n")
    assert main(["retry", "runs/mine"]) == 1
    assert "runs/mine is not finished" in capsys.readouterr().err
    assert main([*RUN, "--max-failures", "30%"]) == 0  # goes on; 2 of 7 is less than that
    capsys.readouterr()
    assert main(["run", "tiny.yaml", "--name", "strict", "--max-failures", "0"]) == 1
    assert capsys.readouterr().err.endswith(": spa retry runs/strict\n")


def test_a_limit_that_is_none_is_wrong_usage(model: QuickModel, capsys: Captured) -> None:
    del model
    assert main([*RUN, "--max-failures", "some"]) == 2
    assert "Valid: a whole number from 0, such as 10, or 0% to 100%" in capsys.readouterr().err
    assert not Path("runs").exists()
