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

__all__ = ["as_latex"]

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\N{PLUS-MINUS SIGN}": r"\textpm{}",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    **{each: f"\\{each}" for each in "&%$#_{}"},
}


def as_latex(comparison: Comparison, published: PublishedTable | None = None) -> str:
    """Settings and figures as two tables, with what they are as caption; notes are comments.

    Sure differences are bold, as in the other formats.

    Args:
        comparison: The runs.
        published: Figures of others, to stand below as a table of their own.
    """
    parts = [r"% needs \usepackage{booktabs}"]
    parts += [f"% Note: {' '.join(note.split())}" for note in comparison.notes]
    if comparison.settings:
        head, rows = settings_table(comparison)
        parts.append(_table(_texts(head), [_texts(row) for row in rows], "Settings that differ."))
    if comparison.lines:
        parts.append(_figures(comparison))
    if published is not None:
        rows = [_texts(row) for row in published.shown()]
        parts.append(_table(_texts(published.head), rows, _escaped(f"{SOURCE}.")))
    return "\n".join(parts) + "\n"


def _figures(comparison: Comparison) -> str:
    caption = _escaped(explanation(comparison))
    if len(comparison.runs) <= MOST_COLUMNS:
        rows = [
            [_escaped(shown_figure(line)), *map(_cell, line.cells)] for line in comparison.lines
        ]
        return _table(_texts(["figure", *comparison.runs]), rows, caption)
    head = ["figure", "run", "value and difference"]
    return _table(
        head,
        [
            [_escaped(figure), _escaped(run), _cell(cell)]
            for figure, run, cell in long_rows(comparison)
        ],
        caption,
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{caption}}}",
            f"  \\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"    \toprule",
            f"    {_row(head)}",
            r"    \midrule",
            *(f"    {_row(row)}" for row in rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def _row(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _cell(cell: Cell) -> str:
    if cell.value is None:
        return "--"
    difference = _number(shown_difference(cell))
    shown = f"\\textbf{{{difference}}}" if cell.sure else difference
    return f"{_number(shown_value(cell))} {shown}".strip()


def _number(text: str) -> str:
    """With minus signs instead of hyphens."""
    return _escaped(text).replace("-", r"\textminus{}")


def _texts(cells: Sequence[str]) -> list[str]:
    return [_escaped(cell) for cell in cells]


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(each, each) for each in " ".join(text.split()))
