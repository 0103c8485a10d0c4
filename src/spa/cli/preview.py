"""``spa preview``: a whole recipe on a few prompts, of which nothing is kept."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spa.cli.options import RecipeFile, Sets, Swaps

if TYPE_CHECKING:
    from spa.engine.stored_run import StoredRun
    from spa.errors import SpaError
    from spa.recipe import Recipe

__all__ = ["preview"]

_PASSES = 2.0  # over the pairs: at least two optimizer steps
_NAME = "preview"


def preview(
    context: typer.Context,
    recipe: RecipeFile,
    prompts: Annotated[
        int,
        typer.Option(
            "--prompts",
            "-n",
            help="Training prompts to try, and as many held-out ones.",
            min=1,
            metavar="N",
        ),
    ] = 3,
    no_train: Annotated[
        bool, typer.Option("--no-train", help="Leave training out, and what comes after it.")
    ] = False,
    sets: Sets = None,
    swaps: Swaps = None,
    full: Annotated[
        bool, typer.Option("--full", help="Show long texts and all pairs whole.")
    ] = False,
    no_pager: Annotated[
        bool, typer.Option("--no-pager", help="Do not page long output on a terminal.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print examples and the end as JSON lines on stdout.")
    ] = False,
) -> None:
    """Try a recipe on a few prompts; nothing is kept.

    They go through one round of all stages and a few steps of training. They are the first ones
    that a full run would train on. No store is read or written.
    """
    from spa.cli.again import command_line
    from spa.cli.console import err, print_error
    from spa.engine.outcome import NothingToTrainOn
    from spa.engine.stored_run import open_run
    from spa.errors import SpaError
    from spa.recipe import load_recipe

    loaded = load_recipe(recipe, sets=sets or (), swaps=swaps or ())
    own = [] if prompts == 3 else ["-n", str(prompts)]
    again = command_line(context, "preview", [recipe], sets or (), swaps or (), own)
    following = command_line(context, "plan", [recipe], sets or (), swaps or ())
    failed: SpaError | None = None
    with _nothing_kept() as runs:
        try:
            _run(loaded, runs, prompts, training=not no_train, as_json=as_json)
        except KeyboardInterrupt:
            err().print(f"\nInterrupted; nothing was kept. Again: {again}", soft_wrap=True)
            raise
        except NothingToTrainOn as nothing:
            failed = nothing
        except SpaError as error:
            failed = error
            if not (runs / _NAME / "run.json").is_file():
                raise
        run = open_run(runs / _NAME)
        if as_json:
            _print_json(run, failed, following)
        else:
            _print(run, prompts, failed, following, full=full, pager=not no_pager)
    if failed is not None and not isinstance(failed, NothingToTrainOn):
        print_error(failed)
        err().print(f"Nothing was kept. Next: mend that, then type: {again}", soft_wrap=True)
        raise typer.Exit(failed.exit_code) from failed


@contextmanager
def _nothing_kept() -> Iterator[Path]:
    """A folder of runs that is gone afterwards, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="spa-preview-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(loaded: Recipe, runs: Path, prompts: int, *, training: bool, as_json: bool) -> None:
    from spa.cli.console import err
    from spa.cli.ladder import Ladder, LiveLadder
    from spa.cli.run import quiet_libraries
    from spa.engine.interrupt import Interrupt
    from spa.engine.pipeline import planned_stages, run_recipe

    quiet_libraries()
    settings = loaded.train.model_copy(update={"epochs": _PASSES, "report_to": ()})
    small = replace(loaded, iterations=1, train=settings)
    stages = planned_stages(small)
    if not training:
        stages = stages[: stages.index("train")]
    live = err().is_terminal and not as_json
    ladder = (LiveLadder if live else Ladder)(stages)
    with ladder, Interrupt() as interrupt:
        run_recipe(
            small,
            runs=runs,
            name=_NAME,
            listen=ladder,
            interrupt=interrupt,
            first=prompts,
            training=training,
        )


def _print_json(run: StoredRun, failed: SpaError | None, following: str) -> None:
    from spa.cli.console import print_json
    from spa.viewing.examples import Reader
    from spa.viewing.records import example_record

    if run.stage("prompts") is not None:
        reader = Reader(run)
        for example in reader.examples():
            print_json(example_record(example, reader.objectives))
    print_json(
        {
            "kind": "preview",
            "funnel": next(iter(run.manifest["funnels"]), None),
            "training": _training(run),
            "error": None if failed is None else str(failed),
            "next": following,
        }
    )


def _print(
    run: StoredRun,
    prompts: int,
    failed: SpaError | None,
    following: str,
    *,
    full: bool,
    pager: bool,
) -> None:
    from spa.cli.console import out
    from spa.cli.example_view import View, example_text
    from spa.cli.paging import page
    from spa.cli.summary import print_funnel
    from spa.engine.outcome import NothingToTrainOn
    from spa.viewing.examples import Reader

    console = out()
    if run.stage("prompts") is not None:
        reader = Reader(run)
        view = View(reader.objectives, full)
        console.print()
        page((example_text(console, each, view) for each in reader.examples()), pager=pager)
    for steps in run.manifest["funnels"]:
        print_funnel(steps, None, console)
    if isinstance(failed, NothingToTrainOn):
        few = "one prompt" if prompts == 1 else f"{prompts} prompts"
        console.print(
            f"No pair is left, so nothing was trained. It is just {few}: see the reasons above, "
            "and try more with -n before you change the recipe.",
            soft_wrap=True,
        )
    if (training := _training(run)) is not None:
        console.print(_about(training), soft_wrap=True)
    if failed is None or isinstance(failed, NothingToTrainOn):
        console.print("Nothing was kept. What a full run would cost:", soft_wrap=True)
        console.print(f"Next: {following}", soft_wrap=True)


def _training(run: StoredRun) -> Mapping[str, Any] | None:
    """Steps and losses; None if nothing was trained."""
    record = run.stage("train")
    if record is None:
        return None
    path = run.store / record["folder"] / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    losses = [step["loss"] for step in result["history"] if "loss" in step]
    return {
        "pairs": record["rows"],
        "steps": result["steps"],
        "losses": losses,
        "seconds": result["seconds"],
        "dropped": result["dropped"],
        "warnings": result["warnings"],
    }


def _about(training: Mapping[str, Any]) -> str:
    from math import isfinite

    losses = training["losses"]
    steps = f"{training['steps']} step{'' if training['steps'] == 1 else 's'}"
    text = f"Training fits: {steps} on {training['pairs']} pairs"
    if losses:
        text += f", loss {' -> '.join(f'{each:.3f}' for each in (losses[0], losses[-1]))}"
        if not all(map(isfinite, losses)):
            text = text.replace("Training fits", "Training ran, but the loss is not finite")
    return f"{text}."
