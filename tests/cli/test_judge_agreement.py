"""``spa judge-agreement``: what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from judged_run import make_judged_run, sample_ids

from spa.cli import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A run with two members, which agree."""
    rng = np.random.default_rng(0)
    first = {each: rng.uniform(1, 9, 2).tolist() for each in sample_ids(20, 4)}
    second = {each: (np.array(two) + rng.normal(size=2)).tolist() for each, two in first.items()}
    return str(make_judged_run(tmp_path, "both", first, second))


def test_the_table_and_what_is_read_from_it(
    run: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["judge-agreement", run, "--points", "4"]) == 0
    out = capsys.readouterr().out
    head = "RV of member 1 (constitution), whose det(S) admits groups, and member 2 (constitution)"
    assert head in out
    assert "by chance" in out
    rows = [line.split() for line in out.splitlines() if line.split()[1:2] in (["25%"], ["100%"])]
    assert [row[0] for row in rows] == ["5", "20"]
    assert "The curve has 20 of 20 prompts." in out
    assert "no upper bound is to be read" in out
    assert out.endswith(f"Next: spa judge-agreement {run} --points 4 --plot agreement.svg\n")


def test_a_run_is_named_as_elsewhere(
    run: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(run)
    monkeypatch.setenv("SPA_RUNS", str(folder.parent))
    assert main(["judge-agreement", folder.name, "--csv"]) == 0
    by_name = capsys.readouterr().out
    assert main(["judge-agreement", run, "--csv"]) == 0
    assert capsys.readouterr().out == by_name


def test_csv(run: str, capsys: Captured) -> None:
    assert main(["judge-agreement", run, "--csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("first,second,determinant,share,groups,answers,rv,low,high,chance,")
    assert len(lines) == 21


def test_json_is_one_record(run: str, capsys: Captured) -> None:
    assert main(["judge-agreement", run, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["kind"], record["round"]) == ("judge_agreement", 1)
    (found,) = record["agreements"]
    assert found["steps"][-1]["groups"] == 20
    assert 0 < found["steps"][-1]["rv"] < 1


def test_the_curve_is_drawn(run: str, capsys: Captured, tmp_path: Path) -> None:
    file = tmp_path / "curve.svg"
    assert main(["judge-agreement", run, "--points", "4", "--plot", str(file)]) == 0
    out = capsys.readouterr().out
    assert f"Drawn: {file}" in out
    assert out.endswith("--csv > agreement.csv\n")
    svg = file.read_text(encoding="utf-8")
    assert svg.startswith("<svg")
    for words in ("over all answers", "within prompts", "by chance", "RV coefficient"):
        assert words in svg


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--plot", "a.pdf"], "--plot a.pdf: what to draw is told by the ending. Valid: .html,"),
        (["--plot", "none/a.svg"], "--plot none/a.svg: the folder none does not exist."),
        (["--csv", "--json"], "--csv and --json exclude each other."),
        (["--round", "3"], "run both did not get through stage"),
    ],
)
def test_mistakes_are_explained(words: list[str], message: str, run: str, capsys: Captured) -> None:
    assert main(["judge-agreement", run, *words]) == 2
    assert capsys.readouterr().err.startswith(message)
