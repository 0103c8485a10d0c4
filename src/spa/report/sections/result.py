"""The sections about results: headline, Pareto plot, distributions of scores, wins and losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spa.comparison.figures import Comparison
from spa.comparison.formats import explanation, shown_difference, shown_value
from spa.comparison.series import TRAINED
from spa.report.blocks import Block, Cell, Chart, Line, Section, Table, Tone
from spa.report.charts.outcomes import outcomes
from spa.report.charts.pareto import Arrow, pareto
from spa.report.charts.scores import scores
from spa.report.headline import JUDGE_SCORES, Change, Estimate, estimate_of, last_model, shown
from spa.report.subject import Subject
from spa.viewing.examples import BASE

__all__ = ["distributions", "first_section", "other_figures", "trade_off", "wins"]

_TONES: dict[int | None, Tone] = {1: "good", -1: "bad", 0: "dim", None: "dim"}
_NOT_EVALUATED = (
    "No held-out prompt was answered by a trained policy and scored. A recipe holds prompts out by "
    "prompts.split.heldout, and scores them by the evaluator judge-scores."
)


def first_section(subjects: Sequence[Subject], comparison: Comparison | None) -> Section:
    """Figures before and after training, and the differences between runs."""
    blocks: list[Block] = []
    for subject in subjects:
        status = subject.run.manifest.get("status")
        if status != "done":
            blocks.append(
                Line(
                    f"Run {subject.label} is not finished ({status}): figures may be missing.",
                    "note",
                )
            )
        title = subject.label if len(subjects) > 1 else ""
        if subject.changes:
            rows = [_change_row(change) for change in subject.changes]
            head = ("on held-out prompts", "before", "after", "difference", "n", "finding")
            blocks.append(Table(head, rows, title))
        else:
            blocks.append(
                Line(f"{title}: {_NOT_EVALUATED}" if title else _NOT_EVALUATED, "missing")
            )
    if any(subject.changes for subject in subjects):
        blocks.append(Line(_reading_of(subjects)))
    if comparison is not None:
        blocks += _compared(comparison)
    return Section("headline", "Headline", blocks)


def _change_row(change: Change) -> list[Cell | str]:
    difference = change.difference
    return [
        change.name,
        shown(change.before),
        shown(change.after),
        Cell(shown(difference, signed=True), _TONES[change.sign]),
        str(difference.n),
        Cell(change.finding, _TONES[change.sign]),
    ]


def _reading_of(subjects: Sequence[Subject]) -> str:
    names = {change.name for subject in subjects for change in subject.changes}
    weighted = any(name.startswith("HH_") for name in names)
    return (
        "Differences are paired by prompt. Brackets are bootstrap intervals over prompts: they do "
        "not hold what another seed of sampling or training would change."
        + (" HH_λ = (λ · first objective + second) / (λ + 1)." if weighted else "")
    )


def _compared(comparison: Comparison) -> Iterator[Block]:
    rows: list[list[Cell | str]] = []
    for line in comparison.lines:
        if line.figure.model != TRAINED:
            continue
        for place, (run, cell) in enumerate(zip(comparison.runs, line.cells, strict=True)):
            tone: Tone = "dim"
            if cell.sure and cell.difference is not None:
                tone = "good" if cell.difference.mean > 0 else "bad"
            name = f"{line.figure.evaluator} {line.figure.name}"
            rows.append(
                [
                    "" if place else name,
                    run,
                    shown_value(cell),
                    Cell(shown_difference(cell), tone),
                    str(cell.n),
                ]
            )
    if rows:
        head = ("trained models", "run", "value", f"difference to {comparison.runs[0]}", "n")
        yield Table(head, rows, "Runs side by side")
        yield Line(explanation(comparison))
    for note in comparison.notes:
        yield Line(f"{note}.", "note")


def other_figures(subjects: Sequence[Subject]) -> Section:
    """What other evaluators measured, and shares of prompts."""
    why = Line("The evaluators reported nothing beside the headline.", "missing")
    return Section("figures", "All other figures", list(_others(subjects)) or [why])


def _others(subjects: Sequence[Subject]) -> Iterator[Block]:
    for subject in subjects:
        metrics: Sequence[Mapping[str, Any]] = subject.run.manifest.get("metrics") or ()
        in_headline = {change.name for change in subject.changes}
        rows = [
            [
                f"{metric['evaluator']} {metric['name']}",
                str(metric["model"]),
                shown(estimate_of(metric), signed=" - " in str(metric["model"])),
                str(metric["n"]),
            ]
            for metric in metrics
            if metric["evaluator"] != JUDGE_SCORES or metric["name"] not in in_headline
        ]
        if rows:
            title = subject.label if len(subjects) > 1 else ""
            yield Table(("figure", "of", "value", "n"), rows, title)


def trade_off(subjects: Sequence[Subject]) -> Section:
    """The first objective against the second."""
    name, title = "trade-off", "Primary against secondary objective"
    objectives = subjects[0].objectives
    if len(objectives) < 2:
        return Section(name, title, [Line("The recipe has one objective.", "missing")])
    arrows = []
    for subject in subjects:
        found = [subject.change(each.name) for each in objectives[:2]]
        if found[0] is not None and found[1] is not None:
            arrows.append(Arrow(subject.label, found[0], found[1]))
    if not arrows:
        return Section(name, title, [Line(_NOT_EVALUATED, "missing")])
    note = "Circles are untrained models, triangles trained ones; thin lines are intervals."
    if any(each.threshold is not None for each in objectives[:2]):
        note += " Where an objective counts as met, the paper is shaded."
    first, second = objectives[0].name, objectives[1].name
    heading = f"{first} (first) against {second}: up is what counts most"
    blocks: list[Block] = [Chart("pareto", heading, pareto(arrows, objectives), note)]
    missing = [s.label for s in subjects if s.label not in {arrow.run for arrow in arrows}]
    if missing:
        blocks.append(Line(f"Without both scores, and so not shown: {', '.join(missing)}.", "note"))
    return Section(name, title, blocks)


def distributions(subjects: Sequence[Subject]) -> Section:
    """Scores before and after."""
    panels = {}
    for subject in subjects:
        found = subject.reading.scores
        trained = next((model for model, _ in found if model != BASE), None)
        for objective in subject.objectives:
            series = {
                "before": found.get((BASE, objective.name), ()),
                "after": found.get((trained or "", objective.name), ()),
            }
            if any(map(len, series.values())):
                title = (
                    objective.name if len(subjects) == 1 else f"{subject.label}: {objective.name}"
                )
                panels[title] = series
    blocks: list[Block] = [Line(_NOT_EVALUATED, "missing")]
    if panels:
        heading = "Scores of answers to held-out prompts"
        blocks = [Chart("scores", heading, scores(panels))]
    return Section("scores", "Scores before and after", blocks)


def wins(subjects: Sequence[Subject]) -> Section:
    """Win, tie and lose rates, with how often the order of two answers decided."""
    rows, told = [], []
    for subject in subjects:
        for label, rates in _rates(subject).items():
            of = label if len(subjects) == 1 else f"{subject.label}: {label}"
            flip = rates.get("flip")
            flips = "" if flip is None or flip.value is None else f"flips {flip.value:.0%}"
            rows += [
                {"label": of, "outcome": outcome, "share": rates[outcome].value, "flips": flips}
                for outcome in ("win", "tie", "lose")
                if outcome in rates and rates[outcome].value is not None
            ]
            told.append([of, *(_percent(rates.get(n)) for n in ("win", "tie", "lose", "flip")),
                         str(rates["win"].n) if "win" in rates else ""])  # fmt: skip
    if not rows:
        why = "No evaluator compared the trained model with the untrained one."
        return Section("wins", "Wins, ties and losses", [Line(why, "missing")])
    note = (
        "By judge-scores, prompts are compared in the order of the objectives; by pairwise, the "
        "judge sees both answers. Flips are comparisons whose two orders named different answers: "
        "they count as ties, and where they are many, the place of an answer decides."
    )
    head = ("trained against untrained", "win", "tie", "lose", "flip rate", "n")
    chart = Chart("wins", "Trained against untrained", outcomes(rows), note)
    return Section("wins", "Wins, ties and losses", [chart, Table(head, told)])


def _rates(subject: Subject) -> dict[str, dict[str, Estimate]]:
    """What compared to the rates of the last round: ``win``, ``tie``, ``lose``, ``flip``."""
    metrics: Sequence[Mapping[str, Any]] = subject.run.manifest.get("metrics") or ()
    last = last_model(metrics)
    found: dict[str, dict[str, Estimate]] = {}
    for metric in metrics:
        prefix, _, name = str(metric["name"]).rpartition(":")
        outcome = name.removesuffix("_rate")
        if metric["model"] not in (last, f"{last} against base") or outcome == name:
            continue
        if outcome in ("win", "tie", "lose", "flip"):
            label = f"{metric['evaluator']} {prefix}".strip()
            found.setdefault(label, {})[outcome] = estimate_of(metric)
    return found


def _percent(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return ""
    text = f"{estimate.value:.0%}"
    if estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low:.0%}, {estimate.high:.0%}]"
    return text
