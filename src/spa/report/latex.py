"""Runs against figures as a table in LaTeX, in the style of booktabs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spa.errors import UsageError
from spa.latex import NEEDS, escaped, table
from spa.report.headline import Change, Estimate
from spa.report.subject import Subject

__all__ = ["report_latex"]


def report_latex(subjects: Sequence[Subject]) -> str:
    """One row for the untrained model and one for each run; a column for each figure.

    Args:
        subjects: The runs, at least one.

    Raises:
        UsageError: If no run has figures of a trained model.
    """
    names = list(dict.fromkeys(change.name for each in subjects for change in each.changes))
    if not names:
        raise UsageError(
            "no run has figures on held-out prompts, so there is no table to make. A recipe holds "
            "prompts out by prompts.split.heldout and scores them by the evaluator judge-scores."
        )
    counts = sorted({change.difference.n for each in subjects for change in each.changes})
    prompts = " or ".join(map(str, counts))
    caption = (
        f"Figures on {prompts} held-out prompts, with bootstrap intervals over prompts. Bold: the "
        "paired difference to the untrained model excludes 0."
    )
    head = ["", *map(escaped, names)]
    return f"{NEEDS}\n{table(head, list(_rows(subjects, names)), caption, align='c')}\n"


def _rows(subjects: Sequence[Subject], names: Sequence[str]) -> Iterator[list[str]]:
    before = [
        [_value(change.before) if change else "--" for change in _in_order(subject, names)]
        for subject in subjects
    ]
    same = all(row == before[0] for row in before)
    if same:
        yield ["untrained", *before[0]]
    for subject, row in zip(subjects, before, strict=True):
        label = escaped(subject.label)
        if not same:
            yield [f"{label}, untrained", *row]
        yield [
            label,
            *(
                _value(change.after, bold=bool(change.sign)) if change else "--"
                for change in _in_order(subject, names)
            ),
        ]


def _in_order(subject: Subject, names: Sequence[str]) -> list[Change | None]:
    found = {change.name: change for change in subject.changes}
    return [found.get(name) for name in names]


def _value(estimate: Estimate, *, bold: bool = False) -> str:
    if estimate.value is None:
        return "--"
    text = f"{estimate.value:.2f}"
    text = f"\\textbf{{{text}}}" if bold else text
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{estimate.low:.2f}, {estimate.high:.2f}]"
