"""``spa report``: what it writes and prints, and what people get wrong."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from reported_run import make_reported_run
from viewed_run import make_viewed_run

from spa.cli import main
from spa.report import page_text

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(page_text, "vega_bundle", lambda: "window.vegaEmbed = null;")
    make_reported_run(Path("runs"))


def failure(capsys: Captured, *args: str, code: int = 2) -> str:
    assert main(["report", *args]) == code
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


def test_writes_one_page_beside_the_run(capsys: Captured) -> None:
    assert main(["report", "reported"]) == 0
    first, following = capsys.readouterr().out.splitlines()
    assert first.startswith("Report: runs/reported/report.html (0.")
    assert following == "Next: spa report reported --open"
    assert Path("runs/reported/report.html").read_text().startswith("<!doctype html>")
    assert main(["report", "reported", "--out", "x.html", "--examples", "2"]) == 0
    again = "Next: spa report reported --out x.html --examples 2 --open\n"
    assert capsys.readouterr().out.endswith(again)
    assert "Of 18 examples of reported 2 are in this page" in Path("x.html").read_text()


def test_opens_it(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: not opened.append(address))
    assert main(["report", "reported", "--open"]) == 0
    assert opened == [(Path.cwd() / "runs/reported/report.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert main(["report", "reported", "--open"]) == 0
    assert "No browser was found. Open the file yourself: /" in capsys.readouterr().err


def test_markdown_for_a_readme(capsys: Captured) -> None:
    make_reported_run(Path("runs"), "second", rise=2.0, loss="simpo")
    capsys.readouterr()
    assert main(["report", "reported", "second", "--format", "md"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "### reported\n\n| on held-out prompts | before | after | difference | n |\n"
    )
    assert "| consistency | 6 | 2 refined_not_better |" in text
    assert "| paired (6 pairs) | 6 |  |" in text
    assert "### Runs side by side\n\n| setting | reported | second |" in text


def test_a_table_for_a_paper(capsys: Captured) -> None:
    assert main(["report", "reported", "--format", "latex"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  \\begin{tabular}{lccccc}" in lines
    assert "     & safe & use.ful[0] & HH\\_5 & HH\\_10 & HH\\_20 \\\\" in lines
    untrained, trained = lines[lines.index("    \\midrule") + 1 :][:2]
    assert untrained.startswith("    untrained & 5.90 [")
    assert trained.startswith("    reported & ")
    assert "\\textbf{5.00}" in trained  # the second objective rose by 0.5 on every prompt
    assert "% needs \\usepackage{booktabs}" in lines


def test_what_people_get_wrong(capsys: Captured) -> None:
    assert failure(capsys, "reported", "--format", "pdf") == (
        "unknown format 'pdf'. Valid: html, latex, md.\n"
    )
    assert failure(capsys, "reported", "--format", "md", "--open") == (
        "--open shows a page, and --format md is none. Leave one out.\n"
    )
    assert failure(capsys, "reported", "--out", "runs") == (
        "runs is a folder. Give --out a file, such as runs/report.html.\n"
    )
    assert "reprted is no run: it is neither its folder nor its name" in failure(capsys, "reprted")
    assert "has no round 3. Valid: 1." in failure(capsys, "reported", "--round", "3")
    assert failure(capsys, "reported", "--out", "none/x.html", code=1) == (
        "none/x.html cannot be written: No such file or directory. Name another file with --out.\n"
    )
    make_viewed_run(Path("runs"), "bare")
    assert "no run has figures on held-out prompts" in failure(capsys, "bare", "-f", "latex")
