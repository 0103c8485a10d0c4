"""A report on runs, as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spa.comparison.figures import Comparison
from spa.report.blocks import Line, Section
from spa.report.example_data import example_data
from spa.report.page_text import page_text
from spa.report.sections.data import lost_prompts, preference_pairs
from spa.report.sections.making import judge_health, provenance, recipes, training_curves
from spa.report.sections.result import (
    distributions,
    first_section,
    other_figures,
    trade_off,
    wins,
)
from spa.report.subject import Subject

__all__ = ["report_html"]


def report_html(subjects: Sequence[Subject], comparison: Comparison | None = None) -> str:
    """The page.

    Args:
        subjects: The runs, at least one.
        comparison: Of them, where there are several.
    """
    names = [subject.label for subject in subjects]
    orders = dict.fromkeys(" > ".join(o.name for o in subject.objectives) for subject in subjects)
    rest = "" if len(names) == 1 else f" and {len(names) - 1} more"
    told = f"{len(names)} runs: {', '.join(names)}" if rest else f"run {names[0]}"
    return page_text(
        title=f"Report on {names[0]}{rest}",
        subtitle=f"Self-Priority Alignment, {told}. Objectives in their order: "
        f"{' or '.join(orders)}.",
        sections=_sections(subjects, comparison),
        examples=[example_data(subject.reading) for subject in subjects],
        example_lines=list(_example_lines(subjects)),
    )


def _sections(subjects: Sequence[Subject], comparison: Comparison | None) -> list[Section]:
    return [
        first_section(subjects, comparison),
        trade_off(subjects),
        distributions(subjects),
        wins(subjects),
        other_figures(subjects),
        lost_prompts(subjects),
        preference_pairs(subjects),
        training_curves(subjects),
        judge_health(subjects),
        recipes(subjects),
        provenance(subjects),
    ]


def _example_lines(subjects: Sequence[Subject]) -> Iterator[Line]:
    for subject in subjects:
        reading = subject.reading
        here, total = len(reading.examples), reading.total
        if reading.problem:
            yield Line(
                f"Run {subject.label} could not be read to its end. {reading.problem}", "note"
            )
        if here < total:
            yield Line(
                f"Of {total:,} examples of {subject.label} {here:,} are in this page, and "
                f"{total - here:,} are left out: regressions and flips came first, then what was "
                f"dropped or has no score. All are shown by: spa show {subject.run.name}",
                "note",
            )
    rounds = {subject.reading.reader.round for subject in subjects}
    if max(rounds) > 1:
        yield Line(f"Examples are of round {', '.join(map(str, sorted(rounds)))}.")
