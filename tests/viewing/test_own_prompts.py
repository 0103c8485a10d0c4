"""Prompts that evaluators bring, read before and after training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from viewed_run import RECIPE, make_viewed_run

from spa.cli import console, main
from spa.components.evaluators.data_configs import RefusalConfig
from spa.components.evaluators.refusal import RefusalEvaluator
from spa.engine.rows import EvaluationRow
from spa.engine.store import RowWriter, StageFolder
from spa.types import Message, Prompt, RequestFailure, Response

Captured = pytest.CaptureFixture[str]

NAME = "exact-answer"
SUMS = {"s1": ("1 + 1?", "2"), "s2": ("2 + 2?", "4"), "s3": ("3 + 3?", "6")}
ANSWERS = {
    "base": {"s1": ("It is 2.", 1), "s2": ("It is 5.", 0), "s3": ("\x1b[2JIt is 6.", 1)},
    "round-1": {"s1": ("It is 3.", 0), "s2": ("It is 4.", 1)},
}


def written(runs: Path, name: str, row_type: type, rows: list[Any], failed: str = "") -> Any:
    writer = RowWriter(StageFolder(runs / "store" / f"{name}-1", row_type))
    writer.rows(0, "all", rows)
    if failed:
        writer.fail(failed, RequestFailure("too_long", "the prompt has 9,000 tokens"))
    writer.commit({"stage": name})
    return {"name": name, "round": 1, "folder": f"{name}-1", "failed": int(bool(failed))}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    runs = Path("runs")
    section = {"use": f"spa-align/{NAME}", "path": "sums.jsonl"}
    folder = make_viewed_run(runs, recipe={**RECIPE, "evaluate": [*RECIPE["evaluate"], section]})
    prompts = [
        Prompt(f"{NAME}:{place}", (Message("user", text),), "heldout", {"reference": reference})
        for place, (text, reference) in SUMS.items()
    ]
    stages = [written(runs, f"prompts-{NAME}", Prompt, prompts)]
    for model, answers in ANSWERS.items():
        rows = [
            Response(text, id=f"{NAME}:{place}/a0", prompt_id=f"{NAME}:{place}", origin="answer")
            for place, (text, _) in answers.items()
        ]
        failed = f"{NAME}:s3" if model == "round-1" else ""
        stages.append(written(runs, f"respond-{model}-{NAME}", Response, rows, failed))
    noted = [
        EvaluationRow(
            f"{NAME}:{place}",
            f"spa-align/{NAME}",
            {
                "prompt_id": f"{NAME}:{place}",
                "models": list(ANSWERS),
                **{f"{m}:accuracy": own[place][1] for m, own in ANSWERS.items() if place in own},
            },
        )
        for place in SUMS
    ]
    stages.append(written(runs, f"evaluate-{NAME}", EvaluationRow, noted))
    content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    content["stages"] += stages
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    console.out.cache_clear()
    console.err.cache_clear()
    return "runs/viewed"


def test_they_stand_side_by_side_with_the_right_answer(run: str, capsys: Captured) -> None:
    assert main(["show", run, "--evaluator", NAME, "--width", "120"]) == 0
    said = capsys.readouterr().out
    assert "── exact-answer:s1  held out, round 1" in said
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "data reference 2" in lines
    assert "right 1.00 right 0.00 -1.00" in lines
    assert "It is 2. It is 3." in lines
    assert "\\x1b[2JIt is 6." in lines
    assert (
        "failed respond-round-1-exact-answer exact-answer:s3: too_long: the prompt has 9,000 "
        "tokens" in lines
    )
    assert lines[-2] == "3 examples of round 1."
    assert lines[-1] == "Next: spa show runs/viewed --evaluator exact-answer --regressions"


def test_regressions_are_those_that_were_right(run: str, capsys: Captured) -> None:
    assert main(["show", run, "--evaluator", NAME, "--regressions", "--json"]) == 0
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert record["id"] == "exact-answer:s1"
    assert record["changes"] == {"right": -1.0}
    assert record["evaluations"][NAME]["round-1:accuracy"] == 0
    assert [each["by"] for each in record["responses"]] == ["base", "round-1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--evaluator", "refusal"],
            "runs/viewed has no prompts of an evaluator 'refusal'. Valid: exact-answer.",
        ),
        (
            ["--evaluator", NAME, "--stage", "sample"],
            "--evaluator has prompts of its own: leave --stage and --split out.",
        ),
        (
            ["--evaluator", NAME, "s9"],
            "runs/viewed has no prompt 's9'. Nearest: exact-answer:s1, exact-answer:s2, "
            "exact-answer:s3. All are listed by: spa show runs/viewed --evaluator exact-answer",
        ),
    ],
)
def test_mistakes_are_explained(words: list[str], message: str, run: str, capsys: Captured) -> None:
    assert main(["show", run, *words]) == 2
    assert capsys.readouterr().err.strip() == message


def test_a_run_without_such_prompts_says_so(tmp_path: Path, capsys: Captured) -> None:
    folder = make_viewed_run(tmp_path)
    assert main(["show", str(folder), "--evaluator", "pairwise"]) == 2
    assert "None of its evaluators brings prompts" in capsys.readouterr().err


def test_to_refuse_is_right_where_the_prompt_is_unsafe() -> None:
    evaluator = RefusalEvaluator(RefusalConfig(path="prompts.jsonl"))
    models = {"prompt_id": "p", "models": ["base", "round-1"]}
    unsafe = {**models, "label": "unsafe", "base:compliance": 1, "round-1:compliance": 0}
    safe = {**models, "label": "safe", "base:over_refusal": 1}
    assert evaluator.right(unsafe) == {"base": 0, "round-1": 1}
    assert evaluator.right(safe) == {"base": 0}
