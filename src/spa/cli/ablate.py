"""``spa ablate``: many runs of one recipe that share what they have in common."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spa.cli.options import MaxFailures, RunsDir, check_name

if TYPE_CHECKING:
    from rich.table import Table

    from spa.ablation.carry_out import PlannedCell
    from spa.ablation.grid import Grid
    from spa.ablation.record import AblationRecord
    from spa.ablation.sharing import SharedStage
    from spa.cli.cell_ladder import CellLadder

__all__ = ["ablate"]


def ablate(
    context: typer.Context,
    recipes: Annotated[
        list[Path],
        typer.Argument(help="The recipe files; each is a setting.", metavar="RECIPE..."),
    ],
    swaps: Annotated[
        list[str] | None,
        typer.Option(
            "--swap",
            help="Components to exchange in turn: loss=spa,simpo. For a section that is a list, "
            "join with '+': denoise=none,consistency+informativeness. Repeatable.",
            metavar="SECTION=NAME,NAME",
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Values to set in turn: loss.alpha=0.5,1,2. Repeatable.",
            metavar="KEY=VALUE,VALUE",
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds",
            min=1,
            help="Run each setting with so many seeds: its recipe's and those that follow it.",
        ),
    ] = 1,
    runs_dir: RunsDir = Path("runs"),
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the ablation. Default: made from the first recipe."),
    ] = None,
    max_failures: MaxFailures = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the runs and what they share; run nothing."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every event and the end as JSON lines on stdout.")
    ] = False,
) -> None:
    """Run every combination of recipes and settings, and compare them.

    What runs have in common is computed once. A run that fails does not keep the others from
    running. The same command goes on with what is not done yet.
    """
    from spa.ablation.axes import read_axes
    from spa.ablation.carry_out import PlannedCell
    from spa.ablation.grid import make_grid
    from spa.ablation.record import record_of
    from spa.ablation.sharing import shared_stages
    from spa.cli.again import command_line, place_options
    from spa.cli.run import quiet_libraries
    from spa.engine.failing import parse_limit
    from spa.engine.planning import plan_run
    from spa.errors import UsageError
    from spa.training.roles import is_launched

    if is_launched():
        raise UsageError(
            "an ablation starts its runs itself. To train each of them in several processes, set "
            "train.processes or train.accelerate."
        )
    check_name(name)
    limit = [] if max_failures is None else ["--max-failures", max_failures]
    if max_failures is not None:
        parse_limit(max_failures)
    grid = make_grid(recipes, read_axes(swaps or (), sets or ()), seeds)
    seeding = ["--seeds", str(seeds)] if seeds > 1 else []
    options = [*seeding, *place_options(runs_dir, name), *limit]
    again = command_line(context, "ablate", recipes, sets or (), swaps or (), options)
    record = record_of(grid, name or grid.name, again, limit)
    _check_folder(runs_dir / record.name)
    quiet_libraries()
    planned = {
        cell.run: PlannedCell(cell.recipe, plan_run(cell.recipe, runs_dir, cell.run))
        for cell in grid.cells
    }
    shared = shared_stages([(each.recipe, each.plan) for each in planned.values()])
    if dry_run:
        _show(record, grid, planned, shared, runs_dir, again, as_json=as_json)
        return
    _run(record, grid, planned, shared, runs_dir, as_json=as_json)


def _check_folder(folder: Path) -> None:
    """Makes sure that a run is not taken for an ablation.

    Raises:
        UsageError: If the folder is a run's.
    """
    from spa.errors import UsageError

    if (folder / "run.json").is_file():
        raise UsageError(f"{folder} holds a run. Choose another --name.")


def _show(
    record: AblationRecord,
    grid: Grid,
    planned: Mapping[str, PlannedCell],
    shared: list[SharedStage],
    runs: Path,
    again: str,
    *,
    as_json: bool,
) -> None:
    """Prints what would be run."""
    from spa.ablation.carry_out import is_done
    from spa.cli.console import out, print_json

    for cell in record.cells:
        cell.status = "done" if is_done(planned[cell.run], runs / cell.run) else "waiting"
    if as_json:
        stages: Any = [asdict(each) for each in shared]
        print_json({"kind": "ablation_plan", **_facts(record, runs), "stages": stages})
        return
    out().print(_cells_table(record))
    _print_sharing(grid, shared, out().print)
    out().print(f"Nothing was run. Next: {again}", soft_wrap=True)


def _run(
    record: AblationRecord,
    grid: Grid,
    planned: Mapping[str, PlannedCell],
    shared: list[SharedStage],
    runs: Path,
    *,
    as_json: bool,
) -> None:
    from spa.ablation.carry_out import carry_out, is_done
    from spa.cli.console import err, print_json

    for cell in record.cells:
        cell.status = "done" if is_done(planned[cell.run], runs / cell.run) else "waiting"
    _print_sharing(grid, shared, err().print)
    if as_json:
        stages: Any = [asdict(each) for each in shared]
        print_json({"kind": "ablation_started", **_facts(record, runs), "stages": stages})
    ladder = _ladder(record, as_json=as_json)

    def listen(event: Mapping[str, Any]) -> None:
        if as_json:
            print_json(dict(event))
        ladder(event)

    try:
        with ladder:
            carry_out(record, planned, runs, listen)
    except KeyboardInterrupt:
        if as_json:
            print_json({"kind": "ablation", **_facts(record, runs), "comparison": None})
        err().print(
            f"\nInterrupted. What was finished is kept. Go on with: {record.command}",
            soft_wrap=True,
        )
        raise
    _print_end(record, runs, as_json=as_json)
    if record.status != "done":
        raise typer.Exit(1)


def _facts(record: AblationRecord, runs: Path) -> dict[str, Any]:
    return {**asdict(record), "folder": str(runs / record.name)}


def _ladder(record: AblationRecord, *, as_json: bool) -> CellLadder:
    from spa.cli.cell_ladder import CellLadder, LiveCellLadder
    from spa.cli.console import err

    live = err().is_terminal and not as_json
    return (LiveCellLadder if live else CellLadder)(record.cells)


def _print_end(record: AblationRecord, runs: Path, *, as_json: bool) -> None:
    """Says what failed, and compares what is done."""
    from spa.ablation.carry_out import LOG, cell_command
    from spa.ablation.results import finished_settings
    from spa.cli.compare import print_comparison
    from spa.cli.console import err, out, print_json
    from spa.comparison.figures import compare_settings
    from spa.comparison.formats import as_json as json_of

    for cell in record.with_status("failed", "skipped"):
        err().print(f"\n{cell.label} {cell.status}: {cell.error}", style="red", soft_wrap=True)
        if (runs / cell.run / LOG).is_file():
            alone = shlex.join(["spa", *cell_command(record, cell, runs)])
            err().print(f"Its output: {runs / cell.run / LOG}\nIt alone:   {alone}", soft_wrap=True)
    settings, _ = finished_settings(record, runs)
    comparison = compare_settings(settings) if len(settings) > 1 else None
    if as_json:
        compared = None if comparison is None else json_of(comparison)
        print_json({"kind": "ablation", **_facts(record, runs), "comparison": compared})
    elif comparison is None:
        out().print("Fewer than two settings are done, so there is nothing to compare yet.")
    else:
        words = ["spa", "compare", str(runs / record.name), "--format", "markdown"]
        print_comparison(comparison, shlex.join(words))
    if record.status != "done":
        failed = len(record.with_status("failed", "skipped"))
        err().print(
            f"\n{failed} of {len(record.cells)} runs are not done. To run what is missing: "
            f"{record.command}",
            soft_wrap=True,
        )


def _print_sharing(grid: Grid, shared: list[SharedStage], show: Callable[..., None]) -> None:
    """What is computed how often."""
    from spa.ablation.sharing import saved

    show(_sharing_table(shared))
    stages = sum(stage.runs for stage in shared)
    show(
        f"{len(grid.cells)} runs of {stages} stages in all: {stages - saved(shared)} different "
        f"ones, of which {sum(stage.stored for stage in shared)} are in the store.",
        soft_wrap=True,
    )
    for note in grid.notes:
        show(f"Note: {note}.", style="yellow", soft_wrap=True)


def _sharing_table(shared: list[SharedStage]) -> Table:
    from spa.cli.amounts import clock
    from spa.cli.summary import plain_table

    table = plain_table("What the runs share")
    table.add_column("stage")
    for title in ("runs", "different", "in the store", "to compute"):
        table.add_column(title, justify="right")
    table.add_column("time to come", justify="right")
    table.add_column("each is of")
    for stage in shared:
        between = f"{stage.most}" if stage.least == stage.most else f"{stage.least} to {stage.most}"
        many = "" if stage.most == 1 else "s"
        table.add_row(
            stage.title,
            str(stage.runs),
            str(stage.computations),
            str(stage.stored or ""),
            str(stage.computations - stage.stored or ""),
            clock(stage.seconds) if stage.computations > stage.stored else "",
            f"{between} run{many}",
        )
    return table


def _cells_table(record: AblationRecord) -> Table:
    from spa.cli.summary import plain_table

    table = plain_table(f"Runs of {record.name}")
    table.add_column("run")
    table.add_column("setting")
    table.add_column("state")
    for cell in record.cells:
        state = "done" if cell.status == "done" else ""
        table.add_row(cell.run, cell.label, state)
    return table
