"""``spa store``: what the store holds, whether it is sound, what can go, and runs as archives."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spa.cli.amounts import age_text, size_text
from spa.cli.options import RunFolder, RunsDir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spa.storage.inventory import Inventory, StoredFolder
    from spa.storage.pruning import PrunePlan
    from spa.storage.verifying import Check
    from spa.types import JsonValue

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Keep house with what runs made and share.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines on stdout instead of text.")]
_RUNS = Path("runs")
_ORDERS = ("age", "name", "size")


@app.command("list")
def list_folders(
    sort: Annotated[
        str, typer.Option("--sort", help="Valid: age, name, size. The largest or oldest first.")
    ] = "size",
    runs_dir: RunsDir = _RUNS,
    as_json: AsJson = False,
) -> None:
    """List every folder with kind, state, rows, size, age and the runs that use it."""
    from spa.cli.console import err, out, print_json
    from spa.errors import UsageError
    from spa.storage.inventory import take_inventory

    if sort not in _ORDERS:
        raise UsageError(f"unknown order {sort!r}. Valid: {', '.join(_ORDERS)}.")
    inventory = take_inventory(runs_dir)
    folders = _sorted(inventory.folders, sort)
    unused = [each for each in folders if not each.runs and each.kind != "unknown"]
    if as_json:
        for folder in folders:
            print_json({"kind": "folder", **folder.record()})
        print_json(
            {
                "kind": "total",
                "store": str(inventory.store),
                "folders": len(folders),
                "runs": len(inventory.runs),
                "bytes": _bytes(folders),
                "unused_bytes": _bytes(unused),
                "other_stores": {str(k): v for k, v in inventory.other_stores.items()},
            }
        )
        return
    console = out()
    _print_folders(inventory, folders)
    for run in inventory.runs:
        if run.problem is not None:
            note = f"Note: {run.folder}: {run.problem}. What it uses is not known."
            err().print(note, style="yellow", soft_wrap=True)
    console.print(
        f"{len(folders)} folders, {size_text(_bytes(folders))}; "
        f"no run uses {size_text(_bytes(unused))} of it.",
        soft_wrap=True,
    )
    for store, size in inventory.other_stores.items():
        own = _command("list", store.parent)
        console.print(f"Another store, {size_text(size)}: {own}", soft_wrap=True)
    console.print(f"Next: {_command('prune' if unused else 'verify', runs_dir)}", soft_wrap=True)


@app.command("verify")
def verify(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Check what these runs use. Default: everything.", metavar="RUN"),
    ] = None,
    aside: Annotated[
        bool,
        typer.Option(
            "--set-aside",
            help="Rename damaged stages, so that the next run makes them anew. Nothing is deleted.",
        ),
    ] = False,
    runs_dir: RunsDir = _RUNS,
    as_json: AsJson = False,
) -> None:
    """Compare everything with its checksum; exit with 1 if something is damaged."""
    from spa.cli.chosen_run import chosen_run
    from spa.cli.console import err, out, print_json
    from spa.storage.inspecting import inspect
    from spa.storage.verifying import set_aside

    found = inspect(runs_dir, [chosen_run(each).folder for each in runs or ()])
    console = out()
    damaged = [check for check in found.checks if check.damage]
    for check in found.checks:
        if as_json:
            print_json(_check_record(check))
        for damage in () if as_json else check.damage:
            console.print(str(damage), style="red", soft_wrap=True)
    for missing in found.missing:
        if as_json:
            print_json({"kind": "missing", "run": missing.run, "folder": missing.folder})
        else:
            console.print(str(missing), style="red", soft_wrap=True)
    movable = [check.folder for check in damaged if check.can_be_set_aside]
    for folder in movable if aside else ():
        place = set_aside(folder)
        err().print(f"{folder} is now {place}", soft_wrap=True)
    if as_json:
        print_json({"kind": "total", **found.counts()})
    else:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in found.counts().items())
        console.print(f"{len(found.checks)} folders: {counts}." if found.checks else "No folders.")
    if damaged or found.missing:
        anew = "run the recipes of the runs concerned again."
        following = _command("verify", runs_dir, "--set-aside") if movable and not aside else anew
        err().print(f"Next: {following}", soft_wrap=True)
        raise typer.Exit(1)
    if not as_json:
        console.print(f"Next: {_command('list', runs_dir)}", soft_wrap=True)


@app.command("prune")
def prune(
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop", help="Give up this run and what only it uses. Repeatable.", metavar="RUN"
        ),
    ] = None,
    judge_checks: Annotated[
        bool, typer.Option("--judge-checks", help="Also what judge checks made.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it. Default: only show it.")] = False,
    runs_dir: RunsDir = _RUNS,
    as_json: AsJson = False,
) -> None:
    """Remove what no run uses. Without --yes it only shows what would go.

    Every run in the folder of runs is kept with all it uses, unless --drop names it.
    """
    from spa.cli.console import err, out, print_json
    from spa.storage.pruning import plan_prune
    from spa.storage.pruning import prune as carry_out

    plan = plan_prune(runs_dir, drop or (), judge_checks=judge_checks)
    console = out()
    if not as_json:
        _print_plan(plan)
    options = [part for name in drop or () for part in ("--drop", name)]
    options += ["--judge-checks"] if judge_checks else []
    if not yes:
        if as_json:
            print_json(_plan_record(plan))
        elif plan.folders or plan.dropped:
            console.print(f"{size_text(plan.bytes)} would be freed. Nothing was removed.")
            again = _command("prune", runs_dir, *options, "--yes")
            console.print(f"Next: {again}", soft_wrap=True)
        else:
            console.print("Nothing to remove.")
        return
    done = carry_out(plan)
    for name, reason in done.kept:
        err().print(f"{name} stays: {reason}", style="yellow", soft_wrap=True)
    if as_json:
        record = _plan_record(plan)
        record |= {"kind": "pruned", "removed": list(done.folders), "freed": done.bytes}
        print_json(record)
        return
    console.print(f"{len(done.folders)} folders removed, {size_text(done.bytes)} freed.")
    console.print(f"Next: {_command('list', runs_dir)}", soft_wrap=True)


@app.command("export")
def export_run(
    run: RunFolder,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The archive to write, .tar.gz or .tar. Default: RUN.tar.gz here.",
        ),
    ] = None,
    no_answers: Annotated[
        bool,
        typer.Option("--no-answers", help="Leave the models' raw answers out; stages are whole."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a run, with all of the store that it uses, into one archive."""
    from spa.cli.chosen_run import chosen_run
    from spa.cli.console import out, print_json
    from spa.storage.packing import pack_run

    stored = chosen_run(run)
    archive = output or Path(f"{run.resolve().name}.tar.gz")
    packed = pack_run(stored, archive, answers=not no_answers)
    if as_json:
        print_json(
            {
                "kind": "exported",
                "run": stored.name,
                "archive": str(packed.archive),
                "bytes": packed.bytes,
                "folders": list(packed.folders),
                "left_out": dict(packed.left_out),
            }
        )
        return
    console = out()
    console.print(
        f"Archive: {packed.archive}, {size_text(packed.bytes)}, "
        f"{len(packed.folders)} folders of the store",
        soft_wrap=True,
    )
    for name, reason in packed.left_out:
        console.print(f"Left out: {name} ({reason})", soft_wrap=True)
    following = shlex.join(["spa", "store", "import", str(packed.archive), "--runs-dir", "DIR"])
    console.print(f"Next: {following}", soft_wrap=True)


@app.command("import")
def import_run(
    archive: Annotated[Path, typer.Argument(help="What `spa store export` wrote.")],
    name: Annotated[
        str | None, typer.Option("--name", help="What the run is called here.", metavar="NAME")
    ] = None,
    runs_dir: RunsDir = _RUNS,
    as_json: AsJson = False,
) -> None:
    """Take a run in from an archive. It is checked whole before anything of it is put in place."""
    from spa.cli.console import out, print_json
    from spa.storage.unpacking import unpack_run

    taken = unpack_run(archive, runs_dir, name)
    if as_json:
        print_json(
            {
                "kind": "imported",
                "folder": str(taken.folder),
                "added": list(taken.added),
                "there": list(taken.there),
                "answers": taken.answers,
            }
        )
        return
    console = out()
    console.print(f"Run:     {taken.folder}", soft_wrap=True)
    console.print(
        f"Store:   {len(taken.added)} folders added, {len(taken.there)} were there already",
        soft_wrap=True,
    )
    following = shlex.join(["spa", "export", str(taken.folder)])
    console.print(f"Next: {following} > recipe.yaml", soft_wrap=True)


def _sorted(folders: Sequence[StoredFolder], order: str) -> list[StoredFolder]:
    if order == "size":
        return sorted(folders, key=lambda each: (-each.bytes, each.name))
    if order == "age":
        return sorted(folders, key=lambda each: (each.changed_at, each.name))
    return sorted(folders, key=lambda each: each.name)


def _bytes(folders: Sequence[StoredFolder]) -> int:
    return sum(each.bytes for each in folders)


def _print_folders(inventory: Inventory, folders: Sequence[StoredFolder]) -> None:
    from spa.cli.console import out
    from spa.cli.summary import plain_table

    table = plain_table(str(inventory.store))
    for heading in ("folder", "kind", "state"):
        table.add_column(heading, overflow="fold")
    for heading in ("rows", "size", "age"):
        table.add_column(heading, justify="right")
    table.add_column("runs", overflow="fold")
    now = time.time()
    for each in folders:
        state = each.state if each.writer is None else f"locked by {each.writer}"
        table.add_row(
            each.name,
            each.kind,
            state,
            "" if each.rows is None else f"{each.rows:,}",
            size_text(each.bytes),
            age_text(now - each.changed_at),
            ", ".join(each.runs) or "none",
        )
    out().print(table)


def _print_plan(plan: PrunePlan) -> None:
    from spa.cli.console import out

    console = out()
    for run in plan.dropped:
        console.print(f"run     {run.folder}", soft_wrap=True)
    for each in _sorted(plan.folders, "size"):
        console.print(f"{size_text(each.bytes):>9}  {each.kind}  {each.name}", soft_wrap=True)
    for each, reason in plan.kept:
        console.print(f"stays: {each.name} ({reason})", style="dim", soft_wrap=True)


def _plan_record(plan: PrunePlan) -> dict[str, JsonValue]:
    return {
        "kind": "prune",
        "runs": [str(run.folder) for run in plan.dropped],
        "folders": [each.name for each in plan.folders],
        "kept": {each.name: reason for each, reason in plan.kept},
        "bytes": plan.bytes,
    }


def _check_record(check: Check) -> dict[str, JsonValue]:
    return {
        "kind": "folder",
        "folder": check.folder.name,
        "holds": check.kind,
        "verdict": check.verdict,
        "damage": [
            {"file": str(each.file), "problem": each.problem, "advice": each.advice}
            for each in check.damage
        ],
    }


def _command(name: str, runs_dir: Path, *options: str) -> str:
    place = [] if runs_dir == _RUNS else ["--runs-dir", str(runs_dir)]
    return shlex.join(["spa", "store", name, *options, *place])
