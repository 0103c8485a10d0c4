"""A comparison as JSON values, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict

from spa.comparison.figures import CONFIDENCE, Cell, Comparison, Line
from spa.types import JsonValue

__all__ = [
    "as_csv",
    "as_json",
    "as_markdown",
    "explanation",
    "shown_difference",
    "shown_figure",
    "shown_setting",
]

_COLUMNS = (
    "evaluator", "figure", "model", "run", "value", "n", "difference", "low", "high", "p_value",
    "adjusted_p", "paired_n",
)  # fmt: skip
_LONGEST = 60


def as_json(comparison: Comparison) -> JsonValue:
    """All of it; one object a figure and run."""
    return {
        "kind": "comparison",
        "runs": list(comparison.runs),
        "settings": [asdict(each) for each in comparison.settings],
        "figures": [dict(zip(_COLUMNS, row, strict=True)) for row in _rows(comparison)],
        "tests": comparison.tests,
        "notes": list(comparison.notes),
    }


def as_csv(comparison: Comparison) -> str:
    """The figures: one line a figure and run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_rows(comparison))
    return text.getvalue()


def as_markdown(comparison: Comparison) -> str:
    """Settings and figures as two tables, and the notes; sure differences are bold."""
    parts = []
    if comparison.settings:
        rows = [[each.key, *map(shown_setting, each.values)] for each in comparison.settings]
        parts.append(_table(["setting", *comparison.runs], rows))
    if comparison.lines:
        rows = [[shown_figure(line), *map(_markdown_cell, line.cells)] for line in comparison.lines]
        parts.append(_table(["figure", *comparison.runs], rows))
        parts.append(explanation(comparison))
    parts += [f"Note: {_escaped(note)}." for note in comparison.notes]
    return "\n\n".join(parts) + "\n"


def explanation(comparison: Comparison) -> str:
    """What the differences are."""
    return (
        f"Differences to {comparison.runs[0]}, paired by prompt, with {CONFIDENCE:.0%} bootstrap "
        "intervals; bold where 0 is excluded and the p-value, adjusted by Holm's method for "
        f"{comparison.tests} differences, is below {1 - CONFIDENCE:.2g}."
    )


def shown_figure(line: Line) -> str:
    """The name of a figure, for people."""
    figure = line.figure
    return f"{figure.evaluator} {figure.name} ({figure.model})"


def shown_setting(value: JsonValue) -> str:
    """A setting, cut where it is long."""
    text = "none" if value in (None, []) else " ".join(str(value).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def shown_difference(cell: Cell) -> str:
    """The difference with its interval; nothing where there is none."""
    found = cell.difference
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return f"{found.mean:+.2f}"
    if found.low == found.high == 0:
        return "the same"
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _rows(comparison: Comparison) -> list[list[JsonValue]]:
    return [
        [*_named(line), run, *_numbers(cell)]
        for line in comparison.lines
        for run, cell in zip(comparison.runs, line.cells, strict=True)
    ]


def _named(line: Line) -> tuple[str, str, str]:
    return line.figure.evaluator, line.figure.name, line.figure.model


def _numbers(cell: Cell) -> list[JsonValue]:
    found = cell.difference
    if found is None:
        return [cell.value, cell.n, None, None, None, None, None, None]
    numbers: list[JsonValue] = [found.mean, found.low, found.high, found.p_value, cell.adjusted_p]
    return [cell.value, cell.n, *numbers, found.n]


def _markdown_cell(cell: Cell) -> str:
    if cell.value is None:
        return ""
    difference = shown_difference(cell)
    shown = f"**{difference}**" if cell.sure else difference
    return f"{cell.value:.2f} {shown}".strip()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
