"""``spa show``: reads the examples of a run on the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from spa.cli.options import RunFolder

if TYPE_CHECKING:
    from rich.console import Console

    from spa.cli.example_view import View
    from spa.types import Split
    from spa.viewing.choosing import Choice
    from spa.viewing.examples import Example, Reader

__all__ = ["show"]

_LIMIT = 10
_SPLITS = ("heldout", "train")


def show(
    context: typer.Context,
    run: RunFolder,
    ids: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of prompts, or of responses to them.", metavar="ID"),
    ] = None,
    regressions: Annotated[
        bool,
        typer.Option(
            "--regressions", help="Held-out prompts whose score training lowered, worst first."
        ),
    ] = False,
    flips: Annotated[
        bool,
        typer.Option("--flips", help="Only where the order of what was shown turned a judgement."),
    ] = False,
    unscored: Annotated[
        bool, typer.Option("--unscored", help="Only where a judged response has no score.")
    ] = False,
    stage: Annotated[
        str | None,
        typer.Option("--stage", help="Only what this stage made or lost.", metavar="NAME"),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            help="Only where this reason was given: for a loss, a failure or a missing score.",
            metavar="CODE",
        ),
    ] = None,
    evaluator: Annotated[
        str | None,
        typer.Option(
            "--evaluator",
            help="The prompts that this evaluator brings, instead of the run's own.",
            metavar="NAME",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Only prompts for this. Valid: heldout, train."),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            help="What --regressions, --flips, --unscored and --sort look at. Default: for "
            "--sort the first objective, for the others all.",
            metavar="NAME",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option("--sort", help="Lowest first, by this. Valid: change, score."),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Highest first.")] = False,
    number: Annotated[
        int | None,
        typer.Option("--round", help="The round to read. Default: the last one.", metavar="N"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", help="Most examples. Default: 10, with --json all.", min=1, metavar="N"
        ),
    ] = None,
    skip: Annotated[
        int, typer.Option("--skip", help="Leave out the first so many.", min=0, metavar="N")
    ] = 0,
    full: Annotated[
        bool, typer.Option("--full", help="Show long texts and all pairs whole.")
    ] = False,
    width: Annotated[
        int | None,
        typer.Option("--width", help="Columns to use. Default: the terminal's.", min=40),
    ] = None,
    no_pager: Annotated[
        bool, typer.Option("--no-pager", help="Do not page long output on a terminal.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON record an example on stdout.")
    ] = False,
) -> None:
    """Read the examples of a run.

    These are its prompts with responses, scores, verdicts and pairs; of a held-out prompt the
    answers of the untrained and the trained policy, side by side. The run need not be finished:
    what its stages have committed is shown.
    """
    from spa.cli.chosen_run import chosen_run
    from spa.cli.console import print_json
    from spa.errors import UsageError
    from spa.viewing.choosing import SORTS, Choice, choose
    from spa.viewing.examples import Reader
    from spa.viewing.own_prompts import EvaluatorReader
    from spa.viewing.records import example_record

    if split is not None and split not in _SPLITS:
        raise UsageError(f"unknown split {split!r}. Valid: {', '.join(_SPLITS)}.")
    if sort is not None and sort not in SORTS:
        raise UsageError(f"unknown order {sort!r}. Valid: {', '.join(SORTS)}.")
    if evaluator is not None and (stage is not None or split is not None):
        raise UsageError("--evaluator has prompts of its own: leave --stage and --split out.")
    most = limit if as_json or limit is not None else _LIMIT
    choice = Choice(
        ids=tuple(ids or ()),
        split=cast("Split | None", split),
        regressions=regressions,
        flips=flips,
        unscored=unscored,
        stage=stage,
        reason=reason,
        objective=objective,
        sort=cast("Literal['change', 'score'] | None", sort),
        reverse=reverse,
        skip=skip,
        limit=most if most is None or as_json or ids else most + 1,  # one more: is that all?
    )
    found = chosen_run(run)
    reader = Reader(found, number)
    if evaluator is not None:
        reader = EvaluatorReader(found, evaluator, number)
    if as_json:
        for example in choose(reader, choice):
            print_json(example_record(example, reader.objectives))
        return
    again = [word for word in _words(context, ids or ()) if word]
    _show(reader, choice, most, again, width=width, full=full, pager=not no_pager)


def _show(
    reader: Reader,
    choice: Choice,
    most: int | None,
    again: list[str],
    *,
    width: int | None,
    full: bool,
    pager: bool,
) -> None:
    from spa.cli.console import out
    from spa.cli.paging import page
    from spa.viewing.choosing import choose

    console = out()
    if width is not None:
        console.width = width
    shown = _Shown(choose(reader, choice), None if choice.ids else most)
    page(shown.texts(console, _view(reader, choice, full)), pager=pager)
    if not shown.count:
        console.print(_nothing(reader, choice), soft_wrap=True)
    if shown.more:
        following = shlex.join(["spa", "show", *again, "--skip", str(choice.skip + shown.count)])
    else:
        following = _following(reader, choice)
    counted = f"{shown.count} example{'' if shown.count == 1 else 's'}"
    place = f", after {choice.skip}" if choice.skip else ""
    rest = ", there are more" if shown.more else ""
    console.print(f"{counted} of round {reader.round}{place}{rest}.", style="dim")
    console.print(f"Next: {following}", soft_wrap=True)


def _view(reader: Reader, choice: Choice, full: bool) -> View:
    from spa.cli.example_view import View

    return View(reader.objectives, full, choice.stage, data=_is_own(reader))


def _is_own(reader: Reader) -> bool:
    """Whether it reads the prompts that an evaluator brings."""
    return reader.prompts_stage != "prompts"


@dataclass(slots=True)
class _Shown:
    """Examples as text, and how many there were."""

    examples: Iterator[Example]
    most: int | None
    count: int = 0
    more: bool = False

    def texts(self, console: Console, view: View) -> Iterator[str]:
        from spa.cli.example_view import example_text

        for example in self.examples:
            if self.count == self.most:
                self.more = True
                return
            self.count += 1
            yield example_text(console, example, view)


def _words(context: typer.Context, ids: list[str] | tuple[str, ...]) -> list[str]:
    """The command as it was typed, without ``--skip``."""
    given = context.params
    words = [str(given["run"]), *ids]
    for parameter in context.command.params:
        value = given.get(str(parameter.name))
        if parameter.name in ("run", "ids", "skip") or value in (None, False):
            continue
        words.append(max(parameter.opts, key=len))
        words += [] if value is True else [str(value)]
    return words


def _nothing(reader: Reader, choice: Choice) -> str:
    if choice.skip:
        return "There are no more examples."
    if choice.regressions:
        what = "prompt of this evaluator" if _is_own(reader) else "held-out prompt"
        if reader.run.manifest.get("status") != "done":
            return (
                f"As far as is known, training lowered the score of no {what}; the run is not "
                "finished, so scores may be missing."
            )
        return f"Training lowered the score of no {what}."
    return f"No example of round {reader.round} fits."


def _following(reader: Reader, choice: Choice) -> str:
    """What to type when all was shown."""
    run = str(reader.run.folder)
    if reader.run.manifest.get("status") != "done":
        return "the command that began the run goes on with it"
    if len(reader.models) > 1 and reader.objectives and not choice.regressions:
        own = reader.listing.split() if _is_own(reader) else []
        return shlex.join(["spa", "show", run, *own, "--regressions"])
    return f"{shlex.join(['spa', 'compare', run])} ANOTHER-RUN"
