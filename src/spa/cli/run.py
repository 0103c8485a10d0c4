"""``spa run``: the main job."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spa.cli.options import MaxFailures, RecipeFile, RunName, RunsDir, Sets, Swaps, check_name

if TYPE_CHECKING:
    from spa.cli.ladder import Ladder
    from spa.engine.editions import Retry
    from spa.engine.failing import FailureLimit
    from spa.engine.outcome import RunResult
    from spa.recipe import Recipe
    from spa.types import RunEvent

__all__ = ["carry_out", "quiet_libraries", "run"]

_RESUME = ("auto", "always", "never")


def run(
    context: typer.Context,
    recipe: RecipeFile,
    sets: Sets = None,
    swaps: Swaps = None,
    runs_dir: RunsDir = Path("runs"),
    name: RunName = None,
    resume: Annotated[
        str,
        typer.Option(
            "--resume",
            help="auto: go on with what is there. always: refuse to do a finished stage anew. "
            "never: begin anew in a folder and store of its own.",
            metavar="auto|always|never",
        ),
    ] = "auto",
    max_failures: MaxFailures = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the recipe and list its stages; run nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every event and the end as JSON lines on stdout.")
    ] = False,
) -> None:
    """Align a model as a recipe says.

    What is already in the store is not done again, so the same command goes on with a run that was
    interrupted.
    """
    from spa.cli.again import command_line, place_options
    from spa.engine.failing import parse_limit
    from spa.errors import RecipeError
    from spa.recipe import load_recipe
    from spa.training.roles import is_follower

    check_name(name)
    limit = None if max_failures is None else parse_limit(max_failures)
    loaded = load_recipe(recipe, sets=sets or (), swaps=swaps or ())
    if resume not in _RESUME:
        raise typer.BadParameter(
            f"{resume!r} is none of {', '.join(_RESUME)}.", param_hint="--resume"
        )

    def command(name: str | None) -> str:
        """The command that goes on with the run of this name."""
        options = place_options(runs_dir, name)
        options += [] if max_failures is None else ["--max-failures", max_failures]
        return command_line(context, "run", [recipe], sets or (), swaps or (), options)

    if dry_run:
        from spa.engine.inputs import input_problems

        if problems := input_problems(loaded):
            raise RecipeError(problems)
        _show_plan(loaded, name, command(name), as_json=as_json)
        return
    if is_follower():
        from spa.training.launched import follow

        quiet_libraries()
        logging.getLogger("spa").setLevel(logging.ERROR)  # the first process speaks for all
        follow()
        return
    if resume == "always":
        from spa.engine.planning.resume import refuse_to_redo

        refuse_to_redo(loaded, runs_dir, name)
    elif resume == "never":
        from spa.engine.planning.resume import begin_anew

        name = begin_anew(loaded, runs_dir, name)

    def changed(setting: str) -> str | None:
        """The command with one setting more, if the recipe can take it.

        Without ``--name``: that folder holds the run that has just ended.
        """
        key = setting.partition("=")[0]
        others = [each for each in sets or () if each.partition("=")[0].strip() != key]
        try:
            load_recipe(recipe, sets=[*others, setting], swaps=swaps or ())
        except RecipeError:
            return None
        options = place_options(runs_dir, None)
        return command_line(context, "run", [recipe], [*others, setting], swaps or (), options)

    from spa.cli.console import print_json
    from spa.cli.summary import print_summary

    options = place_options(runs_dir, None)
    check = command_line(context, "judge-check", [recipe], sets or (), swaps or (), options)
    result = carry_out(
        loaded, runs_dir, name, command(name), changed=changed, limit=limit, as_json=as_json
    )
    if as_json:
        print_json({"kind": "result", "folder": str(result.folder), **result.manifest})
    else:
        print_summary(result.folder, result.manifest, check=check)


def carry_out(
    loaded: Recipe,
    runs_dir: Path,
    name: str | None,
    again: str,
    *,
    changed: Callable[[str], str | None] = lambda _: None,
    limit: FailureLimit | None = None,
    retry: Retry | None = None,
    as_json: bool,
) -> RunResult:
    """Runs a recipe and shows its stages; what ends it early is said with the command to type next.

    Args:
        loaded: What to run.
        runs_dir: Folder of runs.
        name: Of the run; made from the recipe if None.
        again: The command that goes on with it.
        changed: The command with one setting more, None if the recipe cannot take it.
        limit: How many rows of a stage may fail.
        retry: Tries rows again that failed.
        as_json: Whether events are printed on stdout.

    Raises:
        typer.Exit: If it ended early.
        SpaError: As `spa.engine.pipeline.run_recipe` says.
        KeyboardInterrupt: If the user asked to stop.
    """
    from spa.cli.console import err, print_error, print_json
    from spa.cli.summary import print_funnel
    from spa.engine.failing import TooManyFailures
    from spa.engine.interrupt import Interrupt
    from spa.engine.outcome import NothingToTrainOn
    from spa.engine.pipeline import default_run_name, run_recipe
    from spa.plugins.catalogue import load_catalogue
    from spa.training.roles import is_launched

    quiet_libraries()
    followers: AbstractContextManager[None] = nullcontext()
    if is_launched():
        from spa.training.launched import leading

        followers = leading()
    ladder = _ladder(loaded, as_json=as_json)
    notify = load_catalogue().notify

    def listen(event: RunEvent) -> None:
        if as_json:
            print_json(asdict(event))
        ladder(event)
        notify(event)

    try:
        with followers, ladder, Interrupt() as interrupt:
            return run_recipe(
                loaded,
                runs=runs_dir,
                name=name,
                listen=listen,
                interrupt=interrupt,
                limit=limit,
                retry=retry,
            )
    except KeyboardInterrupt:
        err().print(
            f"\nInterrupted. What was finished is kept. Go on with: {again}", soft_wrap=True
        )
        raise
    except NothingToTrainOn as nothing:
        if not as_json:
            print_funnel([asdict(step) for step in nothing.steps])
        print_error(nothing)
        command = next(filter(None, map(changed, nothing.settings)), None)
        following = command or f"change the recipe, then type: {again}"
        err().print(f"Next: {following}", soft_wrap=True)
        raise typer.Exit(nothing.exit_code) from nothing
    except TooManyFailures as many:
        print_error(many)
        folder = runs_dir / (name or default_run_name(loaded))
        following = shlex.join(["spa", "retry", str(folder)]) if many.committed else again
        hint = "with a higher --max-failures, or after the cause is mended, which tries them again"
        err().print(f"Next, {hint}: {following}", soft_wrap=True)
        raise typer.Exit(many.exit_code) from many


def _ladder(loaded: Recipe, *, as_json: bool) -> Ladder:
    from spa.cli.console import err
    from spa.cli.ladder import Ladder, LiveLadder
    from spa.engine.pipeline import planned_stages

    live = err().is_terminal and not as_json
    return (LiveLadder if live else Ladder)(planned_stages(loaded))


def _show_plan(loaded: Recipe, name: str | None, again: str, *, as_json: bool) -> None:
    from spa.cli.console import out, print_json
    from spa.engine.pipeline import default_run_name, planned_stages

    stages = planned_stages(loaded)
    run = name or default_run_name(loaded)
    if as_json:
        print_json({"run": run, "stages": list(stages), "recipe": loaded.resolved()})
        return
    out().print(f"Run {run} would have {len(stages)} stages:")
    for stage in stages:
        out().print(f"  {stage}")
    out().print(f"Nothing was run. Next: {again}", soft_wrap=True)


def quiet_libraries() -> None:
    """Keeps the libraries' own progress bars and notices out of the ladder."""
    from rich.logging import RichHandler

    from spa.cli.console import err

    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Through the same console as the ladder, so that a message does not break the live table.
    handler = RichHandler(console=err(), show_path=False, show_level=False, log_time_format="%X")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("spa").setLevel(logging.INFO)
