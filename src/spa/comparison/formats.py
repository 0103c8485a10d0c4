"""A comparison as JSON values, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict

from spa.comparison.figures import CONFIDENCE, Cell, Comparison, Line
from spa.comparison.published import SOURCE, PublishedTable
from spa.types import JsonValue

__all__ = [
    "MOST_COLUMNS",
    "as_csv",
    "as_json",
    "as_markdown",
    "explanation",
    "long_rows",
    "settings_table",
    "shown_difference",
    "shown_figure",
    "shown_setting",
    "shown_value",
]

_COLUMNS = (
    "evaluator", "figure", "model", "run", "value", "n", "difference", "low", "high", "p_value",
    "adjusted_p", "paired_n", "runs", "spread",
)  # fmt: skip
_LONGEST = 60

MOST_COLUMNS = 4
"""Runs that are shown side by side; more are shown one below the other."""


def as_json(comparison: Comparison, published: PublishedTable | None = None) -> JsonValue:
    """All of it; one object a figure and run."""
    beside = {} if published is None else {"published": published.as_json()}
    return {
        "kind": "comparison",
        "runs": list(comparison.runs),
        "settings": [asdict(each) for each in comparison.settings],
        "figures": [dict(zip(_COLUMNS, row, strict=True)) for row in _rows(comparison)],
        "tests": comparison.tests,
        "notes": list(comparison.notes),
        **beside,
    }


def as_csv(comparison: Comparison) -> str:
    """The figures: one line a figure and run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_rows(comparison))
    return text.getvalue()


def as_markdown(comparison: Comparison, published: PublishedTable | None = None) -> str:
    """Settings and figures as two tables, and the notes; sure differences are bold.

    Args:
        comparison: The runs.
        published: Figures of others, to stand below as a table of their own.
    """
    parts = []
    if comparison.settings:
        parts.append(_table(*settings_table(comparison)))
    if comparison.lines:
        parts.append(_figures(comparison))
        parts.append(explanation(comparison))
    parts += [f"Note: {_escaped(note)}." for note in comparison.notes]
    if published is not None:
        parts += [_table(published.head, published.shown()), f"{SOURCE}."]
    return "\n\n".join(parts) + "\n"


def _figures(comparison: Comparison) -> str:
    if len(comparison.runs) <= MOST_COLUMNS:
        rows = [[shown_figure(line), *map(_markdown_cell, line.cells)] for line in comparison.lines]
        return _table(["figure", *comparison.runs], rows)
    return _table(
        ["figure", "run", "value and difference"],
        [[figure, run, _markdown_cell(cell)] for figure, run, cell in long_rows(comparison)],
    )


def settings_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the settings that differ; a run is a row where there are many runs."""
    columns = [[each.key, *map(shown_setting, each.values)] for each in comparison.settings]
    if len(comparison.runs) <= MOST_COLUMNS:
        return ["setting", *comparison.runs], columns
    rows = zip(comparison.runs, *(column[1:] for column in columns), strict=True)
    return ["run", *(column[0] for column in columns)], [list(row) for row in rows]


def long_rows(comparison: Comparison) -> list[tuple[str, str, Cell]]:
    """Figure, run and cell, one below the other; a figure that all runs share is one row."""
    rows: list[tuple[str, str, Cell]] = []
    for line in comparison.lines:
        same = all(_is_same(cell, line.cells[0]) for cell in line.cells)
        names = ("all runs",) if same else comparison.runs
        rows += [
            ("" if place else shown_figure(line), run, line.cells[place])
            for place, run in enumerate(names)
        ]
    return rows


def _is_same(cell: Cell, first: Cell) -> bool:
    found = cell.difference
    equal = found is None or found.same
    return equal and cell.value == first.value


def explanation(comparison: Comparison) -> str:
    """What the differences are."""
    seeds = max((cell.runs for line in comparison.lines for cell in line.cells), default=1)
    over = "intervals over prompts" if seeds == 1 else "t intervals over prompts and seeds"
    spread = (
        "" if seeds == 1 else " Behind \N{PLUS-MINUS SIGN} is the standard deviation over seeds."
    )
    if not any(cell.difference for line in comparison.lines for cell in line.cells):
        return f"No figure could be paired by prompt with one of {comparison.runs[0]}.{spread}"
    count = comparison.tests
    adjusted = f", adjusted by Holm's method for {count} differences," if count > 1 else ""
    bold = (
        f"bold where 0 is excluded and the p-value{adjusted} is below {1 - CONFIDENCE:.2g}"
        if count
        else "none of a trained model has a p-value, which takes two prompts and a difference"
    )
    return (
        f"Differences to {comparison.runs[0]}, paired by prompt, with {CONFIDENCE:.0%} {over}; "
        f"{bold}.{spread}"
    )


def shown_figure(line: Line) -> str:
    """The name of a figure, for people."""
    figure = line.figure
    return f"{figure.evaluator} {figure.name} ({figure.model})"


def shown_value(cell: Cell) -> str:
    """A figure, with its spread over seeds."""
    if cell.value is None:
        return ""
    spread = "" if cell.spread is None else f" \N{PLUS-MINUS SIGN} {cell.spread:.2f}"
    return f"{cell.value:.2f}{spread}"


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
    if found.same:
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
        return [cell.value, cell.n, None, None, None, None, None, None, cell.runs, cell.spread]
    numbers: list[JsonValue] = [found.mean, found.low, found.high, found.p_value, cell.adjusted_p]
    return [cell.value, cell.n, *numbers, found.n, cell.runs, cell.spread]


def _markdown_cell(cell: Cell) -> str:
    if cell.value is None:
        return ""
    difference = shown_difference(cell)
    shown = f"**{difference}**" if cell.sure else difference
    return f"{shown_value(cell)} {shown}".strip()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
