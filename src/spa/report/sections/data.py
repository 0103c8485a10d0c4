"""The sections about the way to the pairs: the funnel, and the pairs with margins and weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spa.report.blocks import Block, Cell, Chart, Line, Section, Table
from spa.report.charts.funnel import funnel, place_of
from spa.report.charts.pairs import WEIGHTS, margins, weights
from spa.report.history import curves_of, step_means
from spa.report.subject import Subject

__all__ = ["funnel_rows", "lost_prompts", "preference_pairs"]


def lost_prompts(subjects: Sequence[Subject]) -> Section:
    """The funnel of every round of every run."""
    blocks: list[Block] = []
    for subject in subjects:
        if (first := _same_pairs(subject, subjects)) is not None:
            blocks.append(Line(f"Run {subject.label} has the pairs of {first}, and so its funnel."))
            continue
        funnels: Sequence[Any] = subject.run.manifest.get("funnels") or ()
        for number, steps in enumerate(funnels, start=1):
            blocks += _funnel(subject, number, steps, alone=len(subjects) == len(funnels) == 1)
        if not funnels:
            blocks.append(
                Line(
                    f"Run {subject.label} did not get as far as its pairs, or used none.", "missing"
                )
            )
    return Section("funnel", "Where prompts were lost", blocks)


def _same_pairs(subject: Subject, subjects: Sequence[Subject]) -> str | None:
    """An earlier run that took the pairs of every round from the same stages; None if none did."""

    def stages(each: Subject) -> list[Any]:
        records = each.run.manifest.get("stages") or ()
        return [record.get("folder") for record in records if record["name"] == "pairs"]

    own = stages(subject)
    for earlier in subjects[: subject.place]:
        shares = own and all(own) and earlier.run.store == subject.run.store
        if shares and stages(earlier) == own:
            return earlier.label
    return None


def _funnel(
    subject: Subject, number: int, steps: Sequence[Mapping[str, Any]], *, alone: bool
) -> Iterator[Block]:
    here = number == subject.reading.reader.round
    title = (
        "Training prompts that got through each step"
        if alone
        else f"{subject.label}, round {number}"
    )
    lost = any(step["lost"] for step in steps)
    note = "A click on lost prompts leads to them." if here and lost else ""
    spec = funnel(steps, subject.place, clickable=here)
    yield Chart(f"funnel-{subject.place}-{number}", title, spec, note)
    rows = []
    for name, prompts, reached in funnel_rows(steps):
        first: list[Cell | str] = [name, prompts]
        reasons: list[list[Cell | str]] = [
            [Cell(reason, link=place_of(reason, subject.place) if here else ""), str(count)]
            for reason, count in reached
        ]
        rows.append([*first, *(reasons[0] if reasons else ["", ""])])
        rows += [["", "", *reason] for reason in reasons[1:]]
    yield Table(("step", "prompts", "lost here, because", "prompts"), rows)


def funnel_rows(
    steps: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, str, list[tuple[str, int]]]]:
    """Yields the name of a step, the prompts that got through, and why others did not."""
    for step in steps:
        pairs = "" if step.get("pairs") is None else f" ({step['pairs']:,} pairs)"
        lost: Mapping[str, int] = step["lost"]
        ranked = sorted(lost.items(), key=lambda item: (-item[1], item[0]))
        yield f"{step['name']}{pairs}", f"{step['prompts']:,}", ranked


def preference_pairs(subjects: Sequence[Subject]) -> Section:
    """Margins of the pairs, and the weights that the loss gave them."""
    blocks: list[Block] = []
    for subject in subjects:
        if (first := _same_pairs(subject, subjects)) is not None:
            blocks.append(Line(f"Run {subject.label} has the pairs of {first}."))
            continue
        found = subject.reading.margins
        names = dict.fromkeys([*(each.name for each in subject.objectives), *found])
        own = {name: found[name] for name in names if found.get(name)}
        if own:
            title = "Margins of pairs, by the objective that decided"
            title += "" if len(subjects) == 1 else f": {subject.label}"
            blocks.append(Chart(f"margins-{subject.place}", title, margins(own)))
        else:
            why = f"Run {subject.label} has no preference pairs in this round."
            blocks.append(Line(why, "missing"))
        if own and not any(subject.reading.gaps):
            blocks.append(Line("All pairs have a gap of 0.", "note"))
    return Section("pairs", "Preference pairs", [*blocks, *_weights(subjects)])


def _weights(subjects: Sequence[Subject]) -> Iterator[Block]:
    shares = {s.label: told for s in subjects if (told := step_means(s.run, tuple(WEIGHTS)))}
    if shares:
        note = (
            "A pair's weight is its gap over the mean gap of its batch, to the power alpha. "
            "A gap of 0 gives weight 0: such a pair teaches nothing."
        )
        yield Chart("weights", "Weights of pairs in the loss", weights(shares), note)
    for subject in subjects:
        if subject.label in shares:
            continue
        trained = bool(curves_of(subject.run))
        why = "its loss told none" if trained else "the store has no metrics of its training"
        yield Line(f"Weights of run {subject.label} are not shown: {why}.", "missing")
