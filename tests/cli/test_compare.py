"""``spa compare``: what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluated_run import make_evaluated_run

from spa.cli import main

Captured = pytest.CaptureFixture[str]
PROMPTS = [f"p{i}" for i in range(8)]


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Two runs; the second is better by a point on each prompt."""
    before = {prompt: [4.0] for prompt in PROMPTS}
    after = [{p: [5.0 + by + i] for i, p in enumerate(PROMPTS)} for by in (0, 1)]
    simpo = {"use": "spa-align/simpo"}
    first = make_evaluated_run(tmp_path, "first", before, after[0])
    return [str(first), str(make_evaluated_run(tmp_path, "second", before, after[1], loss=simpo))]


def test_the_table_has_what_differs_and_what_it_changed(
    runs: list[str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["compare", *runs]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "loss spa simpo" in out
    assert "judge-scores safe (base) 4.00 4.00 the same" in out
    assert "judge-scores safe (trained) 8.50 9.50 +1.00 [+1.00, +1.00]" in out
    assert "Differences to first, paired by prompt, with 95% bootstrap intervals" in out
    assert out.endswith(f"Next: spa compare {runs[0]} {runs[1]} --format markdown")


@pytest.mark.parametrize(
    ("option", "begins"),
    [
        (["--format", "markdown"], "| setting | first | second |"),
        (["--format", "csv"], "evaluator,figure,model,run,value"),
    ],
)
def test_other_formats(option: list[str], begins: str, runs: list[str], capsys: Captured) -> None:
    assert main(["compare", *runs, *option]) == 0
    assert capsys.readouterr().out.startswith(begins)


def test_json_is_one_record(runs: list[str], capsys: Captured) -> None:
    assert main(["compare", *runs, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["kind"] == "comparison"
    assert record["settings"] == [{"key": "loss", "values": ["spa", "simpo"]}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "nothing is no run folder: it holds no run.json. Runs lie in runs/NAME."),
        ([], "give at least two different runs: spa compare runs/FIRST runs/SECOND"),
        (["-f", "xml"], "unknown format 'xml'. Valid: csv, json, markdown, table."),
    ],
)
def test_mistakes_are_explained(
    words: list[str], message: str, runs: list[str], capsys: Captured
) -> None:
    assert main(["compare", runs[0], *words]) == 2
    assert capsys.readouterr().err.strip() == message
