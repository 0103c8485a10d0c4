"""A comparison in LaTeX: the same figures as in the other formats, and nothing that breaks it."""

from __future__ import annotations

from spa.comparison.figures import Cell, Comparison, Line
from spa.comparison.latex import as_latex
from spa.comparison.paired import PairedDifference
from spa.comparison.published import find_published
from spa.comparison.recipes import SettingDifference
from spa.comparison.series import Figure


def made(runs: tuple[str, ...], sure: bool = True) -> Comparison:
    found = PairedDifference(-1.0, -1.5, -0.5, 0.001, 20)
    cells = (Cell(5.0, 20), *(Cell(4.0, 20, found, 0.002, sure) for _ in runs[1:]))
    return Comparison(
        runs=runs,
        settings=(SettingDifference("loss.use", tuple(runs)),),
        lines=(Line(Figure("judge-scores", "HH_5", "trained"), cells),),
        tests=1,
        notes=("run a is not finished\n(failed)",),
    )


def test_figures_stand_in_booktabs_tables() -> None:
    text = as_latex(made(("a_1", "b&c")))
    assert text.startswith(
        "% needs \\usepackage{booktabs}\n% Note: run a is not finished (failed)\n"
    )
    assert text.count("\\begin{table}") == text.count("\\end{table}") == 2
    assert "  \\begin{tabular}{lrr}\n    \\toprule\n    setting & a\\_1 & b\\&c \\\\\n" in text
    bold = "\\textbf{\\textminus{}1.00 [\\textminus{}1.50, \\textminus{}0.50]}"
    assert f"    judge-scores HH\\_5 (trained) & 5.00 & 4.00 {bold} \\\\\n" in text
    assert "with 95\\% intervals over prompts" in text
    assert "textbf" not in as_latex(made(("a", "b"), sure=False))


def test_many_runs_stand_one_below_the_other() -> None:
    text = as_latex(made(tuple("abcde")))
    assert "figure & run & value and difference \\\\" in text
    assert text.count("4.00 \\textbf") == 4


def test_what_is_published_stands_below() -> None:
    text = as_latex(made(("a", "b")), find_published("mistral-7b-honeset"))
    assert "SPA-SimPO & 7.16 & 7.77 \\\\" in text
    assert text.rstrip().endswith("\\end{table}")


def test_every_character_that_means_something_to_latex_is_escaped() -> None:
    text = as_latex(made(("\\x{}", "~^#$%<|> \N{PLUS-MINUS SIGN}")))
    assert "\\textbackslash{}x\\{\\}" in text
    special = "\\textasciitilde{}\\textasciicircum{}\\#\\$\\%\\textless{}\\textbar{}\\textgreater{}"
    assert f"{special} \\textpm{{}}" in text
