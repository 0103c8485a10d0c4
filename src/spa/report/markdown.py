"""The headline and the funnel as Markdown, for a README."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from spa.comparison.figures import Comparison
from spa.comparison.formats import as_markdown
from spa.export.telling import inline, table
from spa.report.headline import shown
from spa.report.sections.data import funnel_rows
from spa.report.subject import Subject

__all__ = ["report_markdown"]

_HEAD = ("on held-out prompts", "before", "after", "difference", "n")


def report_markdown(subjects: Sequence[Subject], comparison: Comparison | None = None) -> str:
    """Tables: of every run its figures and funnels, and of several what differs between them.

    Args:
        subjects: The runs, at least one.
        comparison: Of them, where there are several.
    """
    parts = [part for subject in subjects for part in _run(subject)]
    if any(subject.changes for subject in subjects):
        parts.append(
            "Differences are paired by prompt, with bootstrap intervals over prompts; bold where "
            "the interval excludes 0. What is not bold is not significant."
        )
    if comparison is not None:
        parts += ["### Runs side by side", as_markdown(comparison).rstrip()]
    return "\n\n".join(parts) + "\n"


def _run(subject: Subject) -> Iterator[str]:
    yield f"### {inline(subject.label)}"
    rows = []
    for change in subject.changes:
        difference = shown(change.difference, signed=True)
        sure = f"**{difference}**" if change.sign else difference
        cells = (change.name, shown(change.before), shown(change.after), sure)
        rows.append((*cells, change.difference.n))
    yield table(_HEAD, rows) if rows else "Nothing was measured on held-out prompts."
    funnels: Sequence[Any] = subject.run.manifest.get("funnels") or ()
    for number, steps in enumerate(funnels, start=1):
        if len(funnels) > 1:
            yield f"Round {number}:"
        yield table(
            ("step", "prompts", "lost"),
            [
                (name, prompts, ", ".join(f"{count} {reason}" for reason, count in lost))
                for name, prompts, lost in funnel_rows(steps)
            ],
        )
