"""Texts of anyone in tables of LaTeX."""

from __future__ import annotations

from spa.latex import escaped, table


def test_a_text_steers_neither_latex_nor_a_terminal() -> None:
    assert escaped("a_1 \\input{x}\n50 %\x1b[2J") == (
        "a\\_1 \\textbackslash{}input\\{x\\} 50 \\%\\textbackslash{}x1b[2J"
    )


def test_a_row_may_begin_with_what_the_end_of_a_row_takes() -> None:
    text = table(["", "n"], [["[a]", "1"], ["*", "2"], ["b", "[3]"]], "c", align="c")
    assert "\\begin{tabular}{lc}" in text
    assert "    {}[a] & 1 \\\\\n    {}* & 2 \\\\\n    b & [3] \\\\\n" in text
