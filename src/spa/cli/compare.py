"""``spa compare``: finished runs side by side."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from spa.comparison.figures import Cell, Comparison

__all__ = ["compare"]

_FORMATS = ("csv", "json", "markdown", "table")


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of finished runs; the first is the baseline.", metavar="RUN..."
        ),
    ],
    format: Annotated[
        str, typer.Option("--format", "-f", help="Valid: csv, json, markdown, table.")
    ] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Compare finished runs, paired by held-out prompt.

    It shows what differs in their recipes, and what that changed against the first run. A
    difference is bold where its interval excludes 0, and Holm's method agrees where there are
    several.
    """
    from spa.cli.console import print_json
    from spa.cli.harmless import harmless
    from spa.comparison.figures import compare as compare_runs
    from spa.comparison.formats import as_csv, as_markdown
    from spa.comparison.formats import as_json as json_of
    from spa.engine.stored_run import open_run
    from spa.errors import UsageError

    if format not in _FORMATS:
        raise UsageError(f"unknown format {format!r}. Valid: {', '.join(_FORMATS)}.")
    comparison = compare_runs([open_run(run) for run in runs])
    if as_json or format == "json":
        print_json(json_of(comparison))
    elif format == "csv":
        typer.echo(harmless(as_csv(comparison)), nl=False)
    elif format == "markdown":
        typer.echo(harmless(as_markdown(comparison)), nl=False)
    else:
        _print(comparison, runs)


def _print(comparison: Comparison, folders: list[Path]) -> None:
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
    for note in comparison.notes:
        console.print(f"Note: {note}", style="yellow", soft_wrap=True)
    again = shlex.join(["spa", "compare", *map(str, folders), "--format", "markdown"])
    console.print(f"Next: {again}", soft_wrap=True)


def _settings(comparison: Comparison) -> Table:
    from spa.comparison.formats import shown_setting

    table = _table("Settings that differ")
    table.add_column("setting")
    for run in comparison.runs:
        table.add_column(run)
    for each in comparison.settings:
        table.add_row(each.key, *map(shown_setting, each.values))
    return table


def _figures(comparison: Comparison) -> Table:
    from spa.comparison.formats import shown_figure

    table = _table("Figures on held-out prompts")
    table.add_column("figure")
    for run in comparison.runs:
        table.add_column(run, justify="right")
    for line in comparison.lines:
        table.add_row(shown_figure(line), *map(_shown, line.cells))
    return table


def _shown(cell: Cell) -> Text:
    from rich.text import Text

    from spa.comparison.formats import shown_difference

    if cell.value is None:
        return Text("")
    text = Text(f"{cell.value:.2f}")
    if cell.difference is not None:
        text.append(f"  {shown_difference(cell)}", style="bold" if cell.sure else "")
    return text


def _table(title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
