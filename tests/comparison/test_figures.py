"""Runs side by side: pairing by prompt, what is bold, and what is said beside the figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spa.comparison.figures import Comparison, Setting, compare, compare_settings
from spa.comparison.formats import as_csv, as_json, as_markdown, explanation
from spa.comparison.series import Figure
from spa.engine.stored_run import open_run
from spa.errors import SpaError, UsageError

PROMPTS = [f"p{i}" for i in range(8)]
BEFORE = {prompt: [4.0, 6.0] for prompt in PROMPTS}
SAFE = Figure("judge-scores", "safe", "trained")
MakeRun = Callable[..., Path]


def better(by: float) -> dict[str, list[float]]:
    return {prompt: [5.0 + by + 0.1 * i] for i, prompt in enumerate(PROMPTS)}


def compared(*folders: Path) -> Comparison:
    return compare([open_run(folder) for folder in folders])


def cells(comparison: Comparison, figure: Figure = SAFE) -> tuple[object, ...]:
    return next(line.cells for line in comparison.lines if line.figure == figure)


def test_trained_models_are_paired_by_prompt(make_run: MakeRun) -> None:
    first = make_run("first", BEFORE, better(0))
    turned = dict(reversed(better(1).items()))
    second = make_run("second", dict(reversed(BEFORE.items())), turned, loss={"use": "x/simpo"})
    comparison = compared(first, second)
    one, two = cells(comparison)
    assert one.difference is None
    assert two.difference.mean == pytest.approx(1.0)
    assert two.difference.n == len(PROMPTS)
    assert two.sure
    assert [(s.key, s.values) for s in comparison.settings] == [("loss", ("spa", "simpo"))]
    assert comparison.notes == ()


def test_evaluators_of_one_name_are_compared_each_with_its_own(make_run: MakeRun) -> None:
    """The same evaluator twice, as it asks another model; here their rows are told apart."""
    section = {"use": "spa-align/judge-scores", "resamples": 500}
    changes = {"evaluate": [section, {**section, "backend": {"use": "spa-align/hf"}}]}
    make_run("third", BEFORE, better(3))
    folders = [make_run(name, BEFORE, better(0), **changes) for name in ("first", "second")]
    for folder, stored in zip(folders, ("first", "third"), strict=True):
        manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        record = {"name": "evaluate-judge-scores/2", "round": 1, "folder": f"evaluate-{stored}"}
        manifest["stages"].append(record)
        (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    comparison = compared(*folders)
    assert cells(comparison)[1].difference.mean == 0
    again = Figure("judge-scores/2", "safe", "trained")
    assert cells(comparison, again)[1].difference.mean == pytest.approx(3.0)


def test_shares_against_the_untrained_model_are_paired_but_not_called_sure(
    make_run: MakeRun,
) -> None:
    """They say again what the scores say: testing them, too, would cost the scores their power."""
    worse = {prompt: [3.0] for prompt in PROMPTS}
    comparison = compared(make_run("first", BEFORE, worse), make_run("second", BEFORE, better(1)))
    figure = Figure("judge-scores", "win_rate", "trained against base")
    first, second = cells(comparison, figure)
    assert (first.value, second.value) == (0.0, 1.0)
    assert (second.difference.mean, second.difference.n) == (1.0, len(PROMPTS))
    assert (second.adjusted_p, second.sure) == (None, False)
    assert comparison.tests == 2


def test_any_lambda_can_be_asked_for_afterwards(make_run: MakeRun) -> None:
    section = {"use": "spa-align/judge-scores", "resamples": 500, "lambdas": [5]}
    folders = [make_run(n, BEFORE, better(b), evaluate=[section]) for b, n in enumerate("ab")]
    settings = [Setting(run.name, (run,)) for run in map(open_run, folders)]
    comparison = compare_settings(settings, lambdas=[3.0, 5.0])
    names = [line.figure.name for line in comparison.lines if line.figure.model == "trained"]
    assert names == ["safe", "useful", "HH_5", "HH_3"]
    first, second = cells(comparison, Figure("judge-scores", "HH_3", "trained"))
    assert first.value == pytest.approx((3 * 5.35 + 5) / 4)
    assert second.difference.mean == pytest.approx(3 * 1 / 4)


def test_a_lambda_needs_two_objectives(make_run: MakeRun) -> None:
    one = [{"name": "safe", "definition": "Is it safe?", "threshold": None}]
    run = open_run(make_run("one", BEFORE, better(0), objectives=one))
    with pytest.raises(UsageError, match="run one has 1"):
        compare_settings([Setting("one", (run,)), Setting("two", ())], lambdas=[5])


def test_a_difference_that_may_be_chance_is_not_bold(make_run: MakeRun) -> None:
    first = make_run("first", BEFORE, better(0))
    noise = {p: [5.0 + (1 if i % 2 else -1) + 0.1 * i] for i, p in enumerate(PROMPTS)}
    comparison = compared(first, make_run("second", BEFORE, noise))
    assert not cells(comparison)[1].sure
    assert "**" not in as_markdown(comparison)


def test_more_comparisons_need_more_evidence(make_run: MakeRun) -> None:
    first = make_run("first", BEFORE, better(0))
    # With one of eight signs against the others p is 4 / 2^8; there are two objectives.
    close = {p: [s + (1.0 if i else -0.1) for s in better(0)[p]] for i, p in enumerate(PROMPTS)}
    alone = compared(first, make_run("other", BEFORE, close))
    runs = [make_run(f"other-{i}", BEFORE, close) for i in range(6)]
    among = compared(first, *runs)
    assert cells(among)[1].difference == cells(alone)[1].difference
    assert cells(alone)[1].adjusted_p == pytest.approx(2 * 4 / 2**8)
    assert cells(among)[1].adjusted_p == pytest.approx(min(1, 12 * 4 / 2**8))
    assert (cells(alone)[1].sure, cells(among)[1].sure) == (True, False)


def test_what_the_differences_are_is_said(make_run: MakeRun) -> None:
    first, second = make_run("first", BEFORE, better(0)), make_run("second", BEFORE, better(1))
    start = "Differences to first, paired by prompt, with 95% intervals over prompts; "
    of_two = explanation(compared(first, second))
    assert of_two == (
        f"{start}bold where 0 is excluded and the p-value, adjusted by Holm's method for 2 "
        "differences, is below 0.05."
    )
    alone = [make_run(name, {"p0": BEFORE["p0"]}, {"p0": [5.0]}) for name in ("third", "fourth")]
    assert "p-value, which takes two prompts" in explanation(compared(*alone))
    none = explanation(compared(first, make_run("fifth", {"q0": [4.0, 6.0]}, {"q0": [5.0]})))
    assert none == "No figure could be paired by prompt with one of first."


def test_unscored_prompts_are_left_out_of_the_pairs(make_run: MakeRun) -> None:
    first = make_run("first", BEFORE, better(0))
    missing = {**better(1), "p0": [None]}
    comparison = compared(first, make_run("second", BEFORE, missing))
    assert cells(comparison)[1].difference.n == len(PROMPTS) - 1
    assert any("has figures for other prompts" in note for note in comparison.notes)


def test_a_share_of_answers_has_no_value_a_prompt(make_run: MakeRun) -> None:
    """Prompts with more answers weigh more in it: it is shown, but not paired."""
    uneven = {**{p: [5.0] for p in PROMPTS}, "p0": [None, 5.0, 5.0]}
    comparison = compared(make_run("a", BEFORE, uneven), make_run("b", BEFORE, uneven))
    figure = Figure("judge-scores", "safe_unscored", "trained")
    second = cells(comparison, figure)[1]
    assert second.value == pytest.approx(0.1)
    assert second.difference is None


def test_other_judges_and_unfinished_runs_are_told(make_run: MakeRun) -> None:
    first = make_run("first", BEFORE, better(0))
    other = make_run("second", BEFORE, better(1), judge={"use": "spa-rubric/rubric"})
    text = (other / "run.json").read_text(encoding="utf-8").replace('"done"', '"failed"')
    (other / "run.json").write_text(text, encoding="utf-8")
    notes = compared(first, other).notes
    assert "run second is not finished (failed)" in notes
    assert "judges or objectives differ, so that scores are not of one scale" in notes


def test_formats_hold_the_same_figures(make_run: MakeRun) -> None:
    comparison = compared(make_run("first", BEFORE, better(0)), make_run("a|b", BEFORE, better(1)))
    lines = as_csv(comparison).splitlines()
    assert lines[0].startswith("evaluator,figure,model,run,value,n,difference")
    row = next(line for line in lines if line.startswith("judge-scores,safe,trained,a|b"))
    assert float(row.split(",")[6]) == pytest.approx(1.0)
    record = as_json(comparison)
    assert isinstance(record, dict)
    assert len(record["figures"]) == len(lines) - 1  # type: ignore[arg-type]
    text = as_markdown(comparison)
    assert "| figure | first | a\\|b |" in text
    assert "**+1.00 [+1.00, +1.00]**" in text
    assert "the same" in text


def test_what_cannot_be_compared(make_run: MakeRun) -> None:
    run = make_run("first", BEFORE, better(0))
    with pytest.raises(UsageError, match="give at least two different runs: spa compare"):
        compared(run)
    with pytest.raises(UsageError, match="give at least two different runs"):
        compared(run, run)
    gone = make_run("second", BEFORE, better(0), evaluate=[{"use": "none-such/score"}])
    text = (gone / "run.json").read_text(encoding="utf-8")
    renamed = text.replace("evaluate-judge-scores", "evaluate-score")
    (gone / "run.json").write_text(renamed, encoding="utf-8")
    with pytest.raises(SpaError, match="its evaluator none-such/score cannot be made"):
        compared(run, gone)


def test_runs_without_figures_say_what_is_missing(make_run: MakeRun) -> None:
    runs = [make_run(name, BEFORE, better(0), evaluate=[]) for name in "ab"]
    comparison = compared(*runs)
    assert comparison.lines == ()
    assert any("need held-out prompts" in note for note in comparison.notes)


def test_runs_that_differ_in_their_seeds_are_pooled(make_run: MakeRun) -> None:
    settings = []
    for name, by in (("base", 0.0), ("other", 1.0)):
        runs = [
            make_run(f"{name}-{seed}", BEFORE, better(by + seed), seed=seed, loss={"use": name})
            for seed in (0, 1, 2)
        ]
        settings.append(Setting(name, tuple(open_run(run) for run in runs)))
    comparison = compare_settings(settings)
    first, second = cells(comparison)
    assert comparison.runs == ("base", "other")
    assert [(s.key, s.values) for s in comparison.settings] == [("loss", ("base", "other"))]
    assert (first.runs, first.spread) == (3, pytest.approx(1.0))
    assert second.value - first.value == pytest.approx(1.0)
    assert second.difference.by_seed == pytest.approx((1.0, 1.0, 1.0))
    assert second.sure
    text = as_markdown(comparison)
    assert "| 7.35 ± 1.00 **+1.00 [+1.00, +1.00]** |" in text
    assert "t intervals over prompts and seeds" in text
    assert as_csv(comparison).splitlines()[0].endswith(",runs,spread")

    without = compare_settings([settings[0], Setting("other", settings[1].runs[1:])])
    assert without.notes == (
        "setting other does not have the seeds of base: differences are of the seeds that both "
        "have",
        "two seeds say little of how much seeds differ: where they differ much, intervals of 95% "
        "cover 88%. Run three or more",
    )


def test_many_runs_are_shown_one_below_the_other(make_run: MakeRun) -> None:
    comparison = compared(*(make_run(f"run-{i}", BEFORE, better(i), seed=i) for i in range(5)))
    text = as_markdown(comparison)
    assert "| run | seed |\n| --- | --- |\n| run-0 | 0 |" in text
    assert "| judge-scores safe (base) | all runs | 5.00 |" in text
    rows = [row for row in text.splitlines() if "| run-4 |" in row]
    assert any("9.35 +4.00 [+4.00, +4.00]" in row for row in rows)
