"""Tables in LaTeX, in the style of booktabs, of texts that may be anyone's."""

from __future__ import annotations

from collections.abc import Sequence

from spa.harmless import harmless

__all__ = ["NEEDS", "escaped", "table"]

NEEDS = r"% needs \usepackage{booktabs}"
"""What stands above tables."""

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


def escaped(text: str) -> str:
    """The text in one line, as LaTeX prints it."""
    return "".join(_SPECIAL.get(each, each) for each in harmless(text, one_line=True))


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, align: str = "r"
) -> str:
    """A table.

    Args:
        head: Titles of the columns, in LaTeX.
        rows: Likewise.
        caption: Likewise.
        align: Of all columns but the first: ``"r"`` or ``"c"``.
    """
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{caption}}}",
            f"  \\begin{{tabular}}{{l{align * (len(head) - 1)}}}",
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
    # After the end of a row LaTeX would take a bracket or a star for what that end is told.
    first = "{}" if cells[0].startswith(("[", "*")) else ""
    return f"{first}{' & '.join(cells)} \\\\"
