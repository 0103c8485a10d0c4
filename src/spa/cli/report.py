"""``spa report``: one file that shows what runs did."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spa.comparison.figures import Setting

__all__ = ["report"]

_FORMATS = ("html", "latex", "md")
_EXAMPLES = 5000
_FILE = "report.html"


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Runs or ablations, by folder or name; with several, the first is the baseline.",
            metavar="RUN",
        ),
    ],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="Valid: html, a page; latex and md, its tables for a paper or a README.",
        ),
    ] = "html",
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The file to write. Default: report.html in the first RUN; latex and md go to "
            "stdout.",
            metavar="FILE",
        ),
    ] = None,
    examples: Annotated[
        int,
        typer.Option(
            "--examples",
            help="Most examples in the page, of all runs together: regressions and flips first.",
            min=0,
            metavar="N",
        ),
    ] = _EXAMPLES,
    number: Annotated[
        int | None,
        typer.Option(
            "--round", help="The round whose examples are read. Default: the last.", metavar="N"
        ),
    ] = None,
    open_it: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser when it is written.")
    ] = False,
) -> None:
    """Write what runs did as one page: figures, charts and examples.

    The page is one file that needs no network. Of an ablation all finished runs are taken.
    """
    from spa.cli.console import out
    from spa.cli.harmless import harmless
    from spa.errors import UsageError

    if format not in _FORMATS:
        raise UsageError(f"unknown format {format!r}. Valid: {', '.join(_FORMATS)}.")
    if open_it and format != "html":
        raise UsageError(f"--open shows a page, and --format {format} is none. Leave one out.")
    file = output or (_first_folder(runs) / _FILE if format == "html" else None)
    if file is not None and file.is_dir():
        raise UsageError(f"{file} is a folder. Give --out a file, such as {file / _FILE}.")
    text = _text(runs, format, number, examples)
    if file is None:
        typer.echo(harmless(text), nl=False)
        return
    _write(file, text)
    console = out()
    console.print(f"Report: {file} ({len(text.encode()) / 1e6:.1f} MB)", soft_wrap=True)
    if format != "html":
        return
    if open_it:
        _open(file)
    else:
        words = ["spa", "report", *map(str, runs)]
        words += [] if output is None else ["--out", str(output)]
        words += [] if examples == _EXAMPLES else ["--examples", str(examples)]
        words += [] if number is None else ["--round", str(number)]
        words.append("--open")
        console.print(f"Next: {shlex.join(words)}", soft_wrap=True)


def _first_folder(runs: list[Path]) -> Path:
    from spa.cli.chosen_run import run_folder

    return run_folder(runs[0])


def _text(runs: list[Path], format: str, number: int | None, examples: int) -> str:
    from spa.comparison.figures import compare_settings
    from spa.report.build import report_html
    from spa.report.latex import report_latex
    from spa.report.markdown import report_markdown
    from spa.report.subject import subjects_of

    settings = [setting for each in runs for setting in _settings(each)]
    comparison = compare_settings(settings) if len(settings) > 1 else None
    own = [run for setting in settings for run in setting.runs]
    subjects = subjects_of(own, number, examples if format == "html" else None)
    if format == "latex":
        return report_latex(subjects)
    if format == "md":
        return report_markdown(subjects, comparison)
    return report_html(subjects, comparison)


def _settings(given: Path) -> list[Setting]:
    """A run, or the finished settings of an ablation with their seeds together."""
    from spa.ablation.record import read_record
    from spa.ablation.results import finished_settings
    from spa.cli.chosen_run import chosen_run, run_folder
    from spa.cli.console import err
    from spa.comparison.figures import Setting
    from spa.errors import UsageError

    folder = run_folder(given)
    record = read_record(folder)
    if record is None:
        run = chosen_run(folder)
        return [Setting(run.name, (run,))]
    settings, missing = finished_settings(record, folder.resolve().parent)
    if not settings:
        raise UsageError(
            f"no run of the ablation {record.name} is finished. To finish them: {record.command}"
        )
    if missing:
        err().print(
            f"Left out of {record.name}, as they are not finished: {', '.join(missing)}. "
            f"To finish them: {record.command}",
            style="yellow",
            soft_wrap=True,
        )
    return settings


def _write(file: Path, text: str) -> None:
    """Writes the file in one step."""
    from spa.engine.files import publish, unfinished
    from spa.errors import RunError

    try:
        with unfinished(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
            publish(temporary, file)
    except OSError as error:
        raise RunError(
            f"{file} cannot be written: {error.strerror or error}. Name another file with --out."
        ) from error


def _open(file: Path) -> None:
    import webbrowser

    from spa.cli.console import err

    if not webbrowser.open(file.resolve().as_uri()):
        err().print(
            f"No browser was found. Open the file yourself: {file.resolve()}", soft_wrap=True
        )
