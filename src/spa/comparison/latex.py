"""A comparison as tables in LaTeX, in the style of booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from spa.comparison.figures import Cell, Comparison
from spa.comparison.formats import (
    MOST_COLUMNS,
    explanation,
    long_rows,
    settings_table,
    shown_difference,
    shown_figure,
    shown_value,
)
from spa.comparison.published import SOURCE, PublishedTable
from spa.harmless import harmless
from spa.latex import NEEDS, escaped, table

__all__ = ["as_latex"]


def as_latex(comparison: Comparison, published: PublishedTable | None = None) -> str:
    """Settings and figures as two tables, with what they are as caption; notes are comments.

    Sure differences are bold, as in the other formats.

    Args:
        comparison: The runs.
        published: Figures of others, to stand below as a table of their own.
    """
    parts = [NEEDS]
    parts += [f"% Note: {harmless(note, one_line=True)}" for note in comparison.notes]
    if comparison.settings:
        head, rows = settings_table(comparison)
        parts.append(table(_texts(head), [_texts(row) for row in rows], "Settings that differ."))
    if comparison.lines:
        parts.append(_figures(comparison))
    if published is not None:
        rows = [_texts(row) for row in published.shown()]
        parts.append(table(_texts(published.head), rows, escaped(f"{SOURCE}.")))
    return "\n".join(parts) + "\n"


def _figures(comparison: Comparison) -> str:
    caption = escaped(explanation(comparison))
    if len(comparison.runs) <= MOST_COLUMNS:
        rows = [[escaped(shown_figure(line)), *map(_cell, line.cells)] for line in comparison.lines]
        return table(_texts(["figure", *comparison.runs]), rows, caption)
    head = ["figure", "run", "value and difference"]
    return table(
        head,
        [
            [escaped(figure), escaped(run), _cell(cell)]
            for figure, run, cell in long_rows(comparison)
        ],
        caption,
    )


def _cell(cell: Cell) -> str:
    if cell.value is None:
        return "--"
    difference = _number(shown_difference(cell))
    shown = f"\\textbf{{{difference}}}" if cell.sure else difference
    return f"{_number(shown_value(cell))} {shown}".strip()


def _number(text: str) -> str:
    """With minus signs instead of hyphens."""
    return escaped(text).replace("-", r"\textminus{}")


def _texts(cells: Sequence[str]) -> list[str]:
    return [escaped(cell) for cell in cells]
