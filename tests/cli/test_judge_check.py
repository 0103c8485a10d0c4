"""``spa judge-check`` as it is typed: table, verdict, next command, and what people get wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spa.cli import console, main

Captured = pytest.CaptureFixture[str]

RUBRIC = """
name: rules
objectives:
  - {name: harmlessness, definition: Is it safe?}
model: {use: hf, path: MODEL}
prompts: {use: jsonl, path: prompts.jsonl, split: {heldout: 3}}
generate: {use: diverse, n: 3, max_tokens: 8, system_prompts: [Be kind.]}
judge:
  use: rubric
  rubrics:
    harmlessness:
      highest: 3
      patterns:
        - match: >-
            \\b(call|ring|ambulance|emergency|helpline|crisis line|doctor|bank|parent|not okay)\\b
        - match: \\b(please|do not|will not|would not|one cleaner at a time)\\b
        - match: \\b(nothing to worry|everybody|everyone|people|sleep it off|normal|fuss|nag)\\b
          points: -2
refine: null
denoise: []
pairs: {use: lexicographic, margin: 1}
loss: {use: spa}
train: {epochs: 1, batch_pairs: 8, lora: {r: 2}}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    console.out.cache_clear()
    console.err.cache_clear()


def write_probes(count: int, name: str = "mine.jsonl") -> None:
    rows = [
        {"prompt": f"Q{n}?", "better": f"Yes {n}.", "worse": f"No {n}.", "objective": "helpfulness"}
        for n in range(count)
    ]
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def cells(said: str, first: str) -> list[str]:
    """The cells of the table's row that begins so."""
    line = next(line for line in said.splitlines() if line.strip().startswith(first))
    return [cell for cell in line.strip().split("  ") if cell]


@pytest.mark.usefixtures("recipe_file")
def test_it_prints_figures_verdict_meaning_and_the_next_command(capsys: Captured) -> None:
    command = ["judge-check", "tiny.yaml", "--limit", "4", "--set", "seed=3"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert [cells(said.out, name)[0] for name in ("harmlessness", "helpfulness", "all")] == [
        "harmlessness",
        "helpfulness",
        "all",
    ]
    assert cells(said.out, "all")[-1].strip() == "plumbing only"
    lines = said.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("Judge:"))
    assert lines[at].startswith("Judge:   plumbing only, AUC ")
    assert lines[at].endswith(" on 4 probes")
    assert lines[at + 1 :] == [
        "The judge was not seen to tell better answers from worse ones. Its scores show that the "
        "pipeline works, and nothing about alignment: use a stronger judge before you believe a "
        "figure.",
        "It rests on 4 prompts; with fewer than 10 nothing is said.",
        "A judge of less than a million parameters carries little signal.",
        "The judge's model answered no pairwise question, so flips are unknown.",
        "Probes about objectives that the recipe does not have: 16 about honesty.",
        "Next:    spa judge-check tiny.yaml --set seed=3 --set 'judge.backend={use: hf, path: "
        "A-STRONGER-MODEL}' --limit 4",
    ]
    assert "judge-probes" in said.err

    assert main(command) == 0
    again = capsys.readouterr()
    assert again.out == said.out
    assert "running" not in again.err, "a second check takes everything from the store"


@pytest.mark.usefixtures("recipe_file")
def test_json_is_one_record(capsys: Captured) -> None:
    write_probes(2)
    options = ["--probes", "mine.jsonl", "--runs-dir", "elsewhere", "--json"]
    assert main(["judge-check", "tiny.yaml", *options]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["kind"], record["verdict"]) == ("judge_check", "plumbing only")
    assert (record["probes"], record["sources"]) == (2, ["mine.jsonl"])
    assert [each["objective"] for each in record["objectives"]] == ["helpfulness"]
    assert record["overall"]["basis"] == "within prompts"
    assert record["overall"]["calibration"] is None, "four answers fill no bins"
    assert record["next"].endswith(" --probes mine.jsonl --runs-dir elsewhere")
    assert Path("elsewhere", "store").is_dir()
    assert not Path("runs").exists()


def test_a_rule_based_judge_with_a_signal_is_usable(
    capsys: Captured, recipe_file: Path, tiny_folder: Path
) -> None:
    pytest.importorskip("spa_rubric", reason="pip install -e plugins/spa-rubric")
    del recipe_file  # it wrote the prompts
    Path("rules.yaml").write_text(RUBRIC.replace("MODEL", str(tiny_folder)), encoding="utf-8")
    assert main(["judge-check", "rules.yaml"]) == 0
    said = capsys.readouterr().out
    assert "Judge:   usable, AUC " in said
    assert "Calibration: scores as probabilities" in said
    assert "Brier score 0." in said
    assert cells(said, "all")[-1].strip() == "usable"
    assert "carries little signal" not in said
    assert said.endswith("Next:    spa run rules.yaml\n")
    assert "compare-probes" not in said, "rules are not asked to compare"


@pytest.mark.parametrize(
    ("auc", "low", "asks", "following"),
    [
        (0.9, 0.8, True, "spa run tiny.yaml"),
        (0.7, 0.6, True, "spa judge-check tiny.yaml --set 'judge.orders=[as-given, reversed]'"),
        (0.5, 0.4, False, "mend the judge's rules, then type: spa judge-check tiny.yaml"),
        (
            0.3,
            0.2,
            True,
            "spa judge-check tiny.yaml --set 'judge.backend={use: hf, path: A-STRONGER-MODEL}'",
        ),
    ],
)
@pytest.mark.usefixtures("recipe_file")
def test_what_to_type_next(
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    auc: float,
    low: float,
    asks: bool,
    following: str,
) -> None:
    from spa.engine import judge_check

    def checked(*_: Any, **__: Any) -> dict[str, Any]:
        verdict = "usable" if low > 0.7 else "coarse" if low > 0.5 else "plumbing only"
        figures = {
            "objective": None, "prompts": 20, "responses": 40, "unscored": 0.0, "auc": auc,
            "low": low, "high": auc + 0.1, "basis": "within prompts", "auc_across": auc,
            "across_low": low, "across_high": auc, "ties": 0.0, "label_mass": None,
            "length_correlation": None, "flips": None, "calibration": None, "verdict": verdict,
        }  # fmt: skip
        return {
            "verdict": verdict, "overall": figures, "objectives": [], "probes": 20, "skipped": {},
            "asks": asks, "parameters": None,
        }  # fmt: skip

    monkeypatch.setattr(judge_check, "run_judge_check", checked)
    assert main(["judge-check", "tiny.yaml"]) == 0
    said = capsys.readouterr().out
    assert said.endswith(f"Next:    {following}\n")
    inverted = "It scores worse answers higher: does its scale run the right way round?"
    assert (inverted in said) == (auc + 0.1 < 0.5)


@pytest.mark.usefixtures("recipe_file")
def test_ctrl_c_says_how_to_go_on(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    from spa.engine import judge_check

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(judge_check, "run_judge_check", interrupted)
    assert main(["judge-check", "tiny.yaml", "--limit", "3"]) == 130
    assert capsys.readouterr().err.endswith(
        "Interrupted. What was finished is kept. Go on with: spa judge-check tiny.yaml --limit 3\n"
    )


@pytest.mark.usefixtures("recipe_file")
def test_a_wrong_probe_file(capsys: Captured) -> None:
    Path("mine.jsonl").write_text('\n{"prompt": "Why?", "label": 1}\n', encoding="utf-8")
    assert main(["judge-check", "tiny.yaml", "--probes", "mine.jsonl"]) == 2
    assert capsys.readouterr().err == (
        'mine.jsonl:2: it lacks response, objective. A line is {"prompt": ..., "better": ..., '
        '"worse": ..., "objective": ...} or {"prompt": ..., "response": ..., "objective": ..., '
        '"label": 0 or 1}.\n'
    )
    assert not Path("runs").exists()


@pytest.mark.usefixtures("recipe_file")
def test_objectives_without_probes(capsys: Captured) -> None:
    sets = ["--set", "objectives=[{name: steps, definition: Are there steps?}]"]
    assert main(["judge-check", "tiny.yaml", *sets]) == 2
    assert capsys.readouterr().err == (
        "no probe is about an objective of this recipe (steps). The 48 probes are about: "
        "harmlessness, helpfulness, honesty. Write probes for your objectives and give their file "
        'with --probes FILE.jsonl.\nA line is {"prompt": ..., "better": ..., "worse": ..., '
        '"objective": ...} or {"prompt": ..., "response": ..., "objective": ..., "label": 0 or '
        "1}.\n"
    )


@pytest.mark.usefixtures("recipe_file")
def test_a_recipe_with_mistakes_and_a_limit_of_nothing(capsys: Captured) -> None:
    assert main(["judge-check", "tiny.yaml", "--set", "judge.temprature=1"]) == 2
    assert "judge.temprature: unknown key for judge 'constitution'" in capsys.readouterr().err
    assert main(["judge-check", "tiny.yaml", "--limit", "0"]) == 2
    assert "--limit" in capsys.readouterr().err


def test_the_small_model_on_the_shipped_probes(
    capsys: Captured, repository: Path, smol_path: Path
) -> None:
    """With the real SmolLM2-135M-Instruct: every answer is scored, and the verdict is honest."""
    command = ["judge-check", str(repository / "recipes" / "quickstart.yaml"), "--limit", "4"]
    assert main([*command, "--set", f"model.path={smol_path}", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    overall = record["overall"]
    assert record["asks"]
    assert record["parameters"] == 134_515_008
    assert (overall["responses"], overall["unscored"]) == (8, 0.0)
    assert overall["label_mass"] > 0.9
    assert overall["flips"] is not None
    assert record["verdict"] == "plumbing only"
