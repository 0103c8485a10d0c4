"""``spa retry``: tries the rows of a run again that failed, and then what depends on them."""

from __future__ import annotations

import logging
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spa.cli.options import MaxFailures, RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spa.engine.editions import RetriedStage
    from spa.engine.stored_run import StoredRun
    from spa.types import JsonValue

__all__ = ["retry"]


def retry(
    context: typer.Context,
    run: RunFolder,
    reasons: Annotated[
        list[str] | None,
        typer.Option(
            "--reason",
            help="Try rows that failed for this reason, whatever it is. Repeatable. Default: all "
            "reasons that may pass.",
            metavar="CODE",
        ),
    ] = None,
    max_failures: MaxFailures = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the rows that failed; run nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every event and the end as JSON lines on stdout.")
    ] = False,
) -> None:
    """Try the rows of a run again that failed, and no others.

    What depends on them is made anew. Nothing that was finished is overwritten: the run reads the
    new rows once they are there, other runs keep theirs.
    """
    from spa.cli.again import command_line
    from spa.cli.chosen_run import chosen_run
    from spa.cli.run import carry_out, quiet_libraries
    from spa.engine.editions import Retry
    from spa.engine.failing import parse_limit
    from spa.engine.retrying import recipe_of, refuse_unfit
    from spa.training.roles import is_follower

    limit = None if max_failures is None else parse_limit(max_failures)
    stored = chosen_run(run)
    chosen = list(dict.fromkeys(reasons or ()))
    wanted = refuse_unfit(stored, chosen)
    options = [part for reason in chosen for part in ("--reason", reason)]
    options += [] if max_failures is None else ["--max-failures", max_failures]
    again = command_line(context, "retry", [run], (), (), options)
    if dry_run or not wanted:
        _show(stored, wanted, again, as_json=as_json)
        return
    recipe = recipe_of(stored)
    if is_follower():
        from spa.training.launched import follow

        quiet_libraries()
        logging.getLogger("spa").setLevel(logging.ERROR)  # the first process speaks for all
        follow()
        return
    folder = stored.folder if stored.folder.name else stored.folder.resolve()
    trying = Retry(frozenset(chosen) if chosen else None)
    result = carry_out(
        recipe, folder.parent, folder.name, again, limit=limit, retry=trying, as_json=as_json
    )
    _end(
        result.folder,
        result.manifest,
        trying.stages,
        again,
        changed=trying.changed,
        as_json=as_json,
    )


def _end(
    folder: Path,
    manifest: Mapping[str, Any],
    stages: Sequence[RetriedStage],
    again: str,
    *,
    changed: bool,
    as_json: bool,
) -> None:
    from spa.cli.console import err, out, print_json
    from spa.cli.summary import print_summary

    if as_json:
        tried = [asdict(each) for each in stages]
        print_json(
            {
                "kind": "result",
                "folder": str(folder),
                "retried": tried,
                "changed": changed,
                **manifest,
            }
        )
    else:
        for each in stages:
            out().print(_line(each), soft_wrap=True)
        if changed:
            print_summary(folder, manifest)
    if not changed:
        err().print(
            "No row could be done, so the run is as it was. Why each row failed is in "
            f"failures.jsonl of its stage. Mend the cause, then type: {again}",
            style="red",
            soft_wrap=True,
        )
        raise typer.Exit(1)


def _line(stage: RetriedStage) -> str:
    before = " (another run had tried them)" if stage.stored else ""
    left = f", {stage.failed:,} rows of the stage still failed" if stage.failed else ""
    return f"Retried: {stage.stage}: {stage.done:,} of {stage.tried:,} done{before}{left}"


def _show(stored: StoredRun, wanted: Mapping[str, int], again: str, *, as_json: bool) -> None:
    """Lists what failed, and what another try may do."""
    from spa.cli.console import out, print_json
    from spa.engine.failing import counted
    from spa.engine.retrying import failed_rows, lasting_advice, reasons_of

    failed = failed_rows(stored)
    if as_json:
        stages: list[JsonValue] = [
            {"stage": each.stage, "round": each.number, "reasons": dict(each.reasons)}
            for each in failed
        ]
        print_json({"kind": "retry", "run": stored.name, "stages": stages, "to_try": dict(wanted)})
        return
    if not failed:
        out().print("No row of this run failed. Nothing to try again.")
        return
    several = len({each.number for each in failed}) > 1
    for each in failed:
        title = f"{each.number}/{each.stage}" if several else each.stage
        out().print(f"{title}: {counted(each.reasons)}", soft_wrap=True)
    for line in lasting_advice(reasons_of(failed)):
        out().print(f"Another try does not change {line}.", soft_wrap=True)
    if wanted:
        out().print(f"Nothing was run. To try {counted(wanted)} again: {again}", soft_wrap=True)
    else:
        first = shlex.join(["spa", "retry", str(stored.folder), "--reason", *_first(failed)])
        out().print(f"Nothing was run. To try such rows all the same: {first}", soft_wrap=True)


def _first(failed: Sequence[object]) -> list[str]:
    from spa.engine.retrying import FailedRows

    codes = [each for rows in failed if isinstance(rows, FailedRows) for each in rows.reasons]
    return codes[:1]
