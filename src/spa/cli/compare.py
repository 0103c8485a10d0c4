"""``spa compare``: finished runs side by side."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from spa.comparison.figures import Cell, Comparison, Setting
    from spa.comparison.published import PublishedTable

__all__ = ["compare", "print_comparison"]

_FORMATS = ("csv", "json", "latex", "markdown", "table")


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Finished runs or ablations, by folder or name; the first is the baseline.",
            metavar="RUN",
        ),
    ],
    format: Annotated[
        str, typer.Option("--format", "-f", help="Valid: csv, json, latex, markdown, table.")
    ] = "table",
    by_seed: Annotated[
        bool, typer.Option("--by-seed", help="Show each seed of an ablation by itself.")
    ] = False,
    published: Annotated[
        str | None,
        typer.Option(
            "--published",
            help="Show the paper's figures below: the name of a recipe of recipes/paper.",
            metavar="NAME",
        ),
    ] = None,
    lambdas: Annotated[
        list[float] | None,
        typer.Option(
            "--lambda",
            help="Of two objectives, also (N * first + second) / (N + 1). Repeatable.",
            min=0,
            metavar="N",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Compare finished runs, paired by held-out prompt.

    It shows what differs in their recipes, and what that changed against the first run. A
    difference is bold where its interval excludes 0, and Holm's method agrees where there are
    several. Of an ablation all finished runs are compared, seeds of one setting together.
    """
    from spa.cli.console import print_json
    from spa.cli.harmless import harmless
    from spa.comparison.figures import compare_settings
    from spa.comparison.formats import as_csv, as_markdown
    from spa.comparison.formats import as_json as json_of
    from spa.comparison.latex import as_latex
    from spa.comparison.published import find_published
    from spa.errors import UsageError

    if format not in _FORMATS:
        raise UsageError(f"unknown format {format!r}. Valid: {', '.join(_FORMATS)}.")
    beside = None if published is None else find_published(published)
    if beside is not None and format == "csv" and not as_json:
        raise UsageError(
            "--published has no runs and no intervals, and so no line in a csv. "
            "Leave it out, or give --format markdown, latex or json."
        )
    weights = lambdas or []
    if not all(map(math.isfinite, weights)):
        raise UsageError("a lambda must be a finite number, 0 or above.")
    comparison = compare_settings(_settings_of(runs, pool=not by_seed), lambdas=weights)
    if as_json or format == "json":
        print_json(json_of(comparison, beside))
    elif format == "csv":
        typer.echo(harmless(as_csv(comparison)), nl=False)
    elif format in ("latex", "markdown"):
        written = as_latex if format == "latex" else as_markdown
        typer.echo(harmless(written(comparison, beside)), nl=False)
    else:
        words = ["spa", "compare", *map(str, runs), *(["--by-seed"] if by_seed else [])]
        words += [] if published is None else ["--published", published]
        words += [word for weight in weights for word in ("--lambda", f"{weight:g}")]
        print_comparison(comparison, shlex.join([*words, "--format", "markdown"]), beside)


def _settings_of(folders: list[Path], *, pool: bool) -> list[Setting]:
    """The settings of runs and of ablations, in order."""
    from spa.ablation.record import read_record
    from spa.ablation.results import finished_settings
    from spa.cli.chosen_run import chosen_run, run_folder
    from spa.cli.console import err
    from spa.comparison.figures import Setting

    found: list[Setting] = []
    for folder in map(run_folder, folders):
        record = read_record(folder)
        if record is None:
            run = chosen_run(folder)
            found.append(Setting(run.name, (run,)))
            continue
        settings, missing = finished_settings(record, folder.resolve().parent, pool=pool)
        found += settings
        if missing:
            err().print(
                f"Left out of {record.name}, as they are not finished: {', '.join(missing)}. "
                f"To finish them: {record.command}",
                style="yellow",
                soft_wrap=True,
            )
    return found


def print_comparison(
    comparison: Comparison, again: str, published: PublishedTable | None = None
) -> None:
    """Prints a comparison as tables on stdout.

    Args:
        comparison: What to print.
        again: The command to type next.
        published: Figures of others, to stand below.
    """
    from spa.cli.console import out
    from spa.comparison.formats import explanation

    console = out()
    console.print(_settings(comparison) if comparison.settings else "The recipes do not differ.")
    if comparison.lines:
        console.print()
        console.print(_figures(comparison))
        console.print(
            explanation(comparison),
            soft_wrap=True,
        )
    if published is not None:
        _print_published(published)
    for note in comparison.notes:
        console.print(f"Note: {note}", style="yellow", soft_wrap=True)
    console.print(f"Next: {again}", soft_wrap=True)


def _print_published(published: PublishedTable) -> None:
    from spa.cli.console import out
    from spa.cli.summary import plain_table
    from spa.comparison.published import SOURCE

    table = plain_table("Published")
    first, *figures = published.head
    table.add_column(first)
    for figure in figures:
        table.add_column(figure, justify="right")
    for row in published.shown():
        table.add_row(*row)
    out().print()
    out().print(table)
    out().print(f"{SOURCE}.", soft_wrap=True)


def _settings(comparison: Comparison) -> Table:
    from spa.cli.summary import plain_table
    from spa.comparison.formats import settings_table

    head, rows = settings_table(comparison)
    table = plain_table("Settings that differ")
    for column in head:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    return table


def _figures(comparison: Comparison) -> Table:
    from spa.cli.summary import plain_table
    from spa.comparison.formats import MOST_COLUMNS, long_rows, shown_figure

    table = plain_table("Figures on held-out prompts")
    table.add_column("figure")
    if len(comparison.runs) > MOST_COLUMNS:
        table.add_column("run")
        table.add_column("value and difference", justify="right")
        for figure, run, cell in long_rows(comparison):
            table.add_row(figure, run, _shown(cell))
        return table
    for run in comparison.runs:
        table.add_column(run, justify="right")
    for line in comparison.lines:
        table.add_row(shown_figure(line), *map(_shown, line.cells))
    return table


def _shown(cell: Cell) -> Text:
    from rich.text import Text

    from spa.comparison.formats import shown_difference, shown_value

    if cell.value is None:
        return Text("-", style="dim")
    text = Text(shown_value(cell))
    if cell.difference is not None:
        text.append(f"  {shown_difference(cell)}", style="bold" if cell.sure else "")
    return text
