"""``spa compare``: what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluated_run import make_evaluated_run

from spa.ablation.record import AblationRecord, CellRecord, write_record
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
    assert "Differences to first, paired by prompt, with 95% intervals over prompts" in out
    assert out.endswith(f"Next: spa compare {runs[0]} {runs[1]} --format markdown")


@pytest.mark.parametrize(
    ("option", "begins"),
    [
        (["--format", "markdown"], "| setting | first | second |"),
        (["--format", "latex"], "% needs \\usepackage{booktabs}"),
        (["--format", "csv"], "evaluator,figure,model,run,value"),
    ],
)
def test_other_formats(option: list[str], begins: str, runs: list[str], capsys: Captured) -> None:
    assert main(["compare", *runs, *option]) == 0
    assert capsys.readouterr().out.startswith(begins)


def test_a_lambda_goes_on_to_the_next_command(runs: list[str], capsys: Captured) -> None:
    assert main(["compare", *runs, "--lambda", "10"]) == 0
    said = capsys.readouterr().out
    assert "HH_10 (trained)" in said
    assert said.endswith(f"Next: spa compare {runs[0]} {runs[1]} --lambda 10 --format markdown\n")


def test_json_is_one_record(runs: list[str], capsys: Captured) -> None:
    assert main(["compare", *runs, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["kind"] == "comparison"
    assert record["settings"] == [{"key": "loss", "values": ["spa", "simpo"]}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["nothing"],
            "nothing is no run: it is neither its folder nor its name. There is no run in runs; "
            "runs elsewhere are given by their folders.",
        ),
        ([], "give at least two different runs: spa compare runs/FIRST runs/SECOND"),
        (["--lambda", "inf"], "a lambda must be a finite number, 0 or above."),
        (["-f", "xml"], "unknown format 'xml'. Valid: csv, json, latex, markdown, table."),
    ],
)
def test_mistakes_are_explained(
    words: list[str], message: str, runs: list[str], capsys: Captured
) -> None:
    assert main(["compare", runs[0], *words]) == 2
    assert capsys.readouterr().err.strip() == message


@pytest.fixture
def ablation(tmp_path: Path) -> Path:
    """Two settings with two seeds each, and a run that is not finished."""
    cells = []
    for number, name in enumerate(["spa", "dpo", "ipo"]):
        for seed in (0, 1):
            scores = {p: [5.0 + number + seed + 0.1 * i] for i, p in enumerate(PROMPTS)}
            before = {prompt: [4.0] for prompt in PROMPTS}
            run = f"{name}-{seed}"
            folder = make_evaluated_run(
                tmp_path, run, before, scores, seed=seed, loss={"use": f"spa-align/{name}"}
            )
            cells.append(CellRecord(run, f"loss={name}", f"seed={seed}", [], [], "done"))
    manifest = folder / "run.json"
    manifest.write_text(manifest.read_text("utf-8").replace('"done"', '"failed"'), "utf-8")
    record = AblationRecord("all", "r.yaml", "spa ablate r.yaml", [], [], cells)
    write_record(tmp_path / "all", record)
    return tmp_path / "all"


def test_an_ablation_is_compared_with_its_seeds_together(ablation: Path, capsys: Captured) -> None:
    assert main(["compare", str(ablation), "-f", "markdown"]) == 0
    said = capsys.readouterr()
    assert "| setting | loss=spa | loss=dpo | loss=ipo |\n" in said.out
    assert "| loss | spa | dpo | ipo |" in said.out
    row = next(line for line in said.out.splitlines() if "safe (trained) |" in line)
    assert "| 5.85 ± 0.71 | 6.85 ± 0.71 **+1.00 [+1.00, +1.00]** |" in row
    assert "setting ipo" not in said.out
    assert said.err == (
        "Left out of all, as they are not finished: ipo-1. To finish them: spa ablate r.yaml\n"
    )


def test_seeds_can_be_shown_apart(ablation: Path, capsys: Captured) -> None:
    assert main(["compare", str(ablation), "--by-seed"]) == 0
    said = capsys.readouterr().out
    assert "loss=spa, seed=1" in said
    assert "±" not in said
    assert said.endswith(f"Next: spa compare {ablation} --by-seed --format markdown\n")


def test_published_figures_stand_below(
    runs: list[str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    name = "mistral-7b-honeset"
    assert main(["compare", *runs, "--published", name]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"published for {name} honesty helpfulness" in out
    assert "vanilla 5.81 7.62 SPA-SimPO 7.16 7.77 SPA 7.18 7.82" in out
    assert "GPT-4o" in out
    assert out.endswith(f"--published {name} --format markdown")


def test_published_figures_in_other_formats(runs: list[str], capsys: Captured) -> None:
    chosen = ["--published", "llama-3.1-8b-saferlhf"]
    assert main(["compare", *runs, *chosen, "--format", "markdown"]) == 0
    assert "| Reward Soups 9:1 |  |  | 9.28 | 9.56 | 9.72 |" in capsys.readouterr().out
    assert main(["compare", *runs, *chosen, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["published"]["rows"]
    assert rows["SFT"] == {
        "harmlessness": 9.68,
        "helpfulness": 5.57,
        "HH_5": None,
        "HH_10": None,
        "HH_20": None,
    }
    assert main(["compare", *runs, *chosen, "--format", "csv"]) == 2
    assert "no line in a csv" in capsys.readouterr().err


def test_what_is_not_published_is_refused_with_what_is(runs: list[str], capsys: Captured) -> None:
    assert main(["compare", *runs, "--published", "llama"]) == 2
    assert "Valid: llama-3.1-8b-saferlhf, " in capsys.readouterr().err
