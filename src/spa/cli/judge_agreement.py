"""``spa judge-agreement``: where two judges stop to agree, and what that says of tau."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from spa.comparison.judges import JudgesAgreement
    from spa.evaluation.agreement import Agreement

__all__ = ["judge_agreement"]

_POINTS = 20


def judge_agreement(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of a run whose judge has members, or of several runs that share their "
            "samples. The first judge is the one whose scores order the groups.",
            metavar="RUN...",
        ),
    ],
    number: Annotated[int, typer.Option("--round", help="Which round.", min=1, metavar="N")] = 1,
    points: Annotated[
        int, typer.Option("--points", help="Most steps of the curve.", min=1, metavar="N")
    ] = _POINTS,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            help="Also draw the curve into this file. Valid endings: .html, .png, .svg.",
            metavar="FILE",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the curve as CSV.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON record on stdout instead of text.")
    ] = False,
) -> None:
    """See how far two judges agree as groups are admitted by rising det(S).

    It is the analysis that the bound tau on the determinant rests on: where agreement falls, the
    first judge's scores are too unstable to learn from. No model is asked.
    """
    from spa.cli.chosen_run import chosen_run
    from spa.cli.console import print_json
    from spa.cli.harmless import harmless
    from spa.comparison.judges import agreements
    from spa.comparison.judges_formats import as_csv as csv_of
    from spa.comparison.judges_formats import as_json as json_of
    from spa.comparison.judges_plot import check_plot, write_plot
    from spa.errors import UsageError

    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other.")
    if plot is not None:
        check_plot(plot)
    opened = [chosen_run(run) for run in runs]
    found = agreements(opened, number, points=points)
    if plot is not None:
        write_plot(found, plot)
    if as_csv:
        typer.echo(harmless(csv_of(found)), nl=False)
        return
    words = ["spa", "judge-agreement", *map(str, runs)]
    words += [] if number == 1 else ["--round", str(number)]
    words += [] if points == _POINTS else ["--points", str(points)]
    curve = "--plot agreement.svg" if plot is None else "--csv > agreement.csv"
    following = f"{shlex.join(words)} {curve}"
    if as_json:
        print_json(
            {
                "kind": "judge_agreement",
                "round": number,
                "agreements": json_of(found),
                "plot": None if plot is None else str(plot),
                "next": following,
            }
        )
    else:
        _print(found, following, plot)


def _print(found: list[JudgesAgreement], following: str, plot: Path | None) -> None:
    from spa.cli.console import out
    from spa.comparison.judges_formats import left_out_line, reading

    console = out()
    for each in found:
        console.print()
        console.print(_table(each))
        console.print(f"The curve has {left_out_line(each)}.", soft_wrap=True)
        for line in reading(each):
            console.print(line, soft_wrap=True)
    if plot is not None:
        console.print(f"Drawn: {plot}", soft_wrap=True)
    console.print(f"Next: {following}", soft_wrap=True)


def _table(found: JudgesAgreement) -> Table:
    from spa.cli.summary import plain_table

    table = plain_table(f"RV of {found.first}, whose det(S) admits groups, and {found.second}")
    for name in (
        "groups", "share", "det(S) up to", "answers",
        "RV [95 %]", "by chance", "within prompts [95 %]", "by chance",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for step in found.steps:
        table.add_row(
            str(step.groups),
            f"{step.share:.0%}",
            f"{step.determinant:.3g}",
            str(step.answers),
            *_shown(step.overall),
            *_shown(step.within),
        )
    return table


def _shown(agreement: Agreement) -> tuple[str, str]:
    if agreement.rv is None or agreement.chance is None:
        return "no value", ""
    text = f"{agreement.rv:.2f}"
    if agreement.low is not None and agreement.high is not None:
        text += f" [{agreement.low:.2f}, {agreement.high:.2f}]"
    return text, f"{agreement.chance:.2f}"
