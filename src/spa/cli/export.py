"""``spa export``: turns what a run made into a form that other programs load."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spa.engine.stored_run import StoredRun
    from spa.export.folder import Exported
    from spa.types import JsonValue

__all__ = ["export"]

MERGED = "merged"


def export(
    run: Annotated[
        Path, typer.Argument(help="Folder of a finished run, for example runs/quickstart.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write; must not exist, or be empty.")
    ],
    format: Annotated[
        str,
        typer.Option(
            "--format", "-f", help="What to write. Valid: llamafactory, merged, parquet, trl."
        ),
    ] = MERGED,
    only: Annotated[
        int | None,
        typer.Option("--round", help="Pairs of this round only. Default: of all.", metavar="N"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON record on stdout instead of text.")
    ] = False,
) -> None:
    """Write a run's result in a form that other programs load.

    merged: the model with its adapter merged in, loadable with plain transformers.
    trl, llamafactory: the preference pairs, for these trainers.
    parquet: the preference pairs with all that is known of them, token ids included.
    """
    # Here and below, so that `spa --help` imports neither torch nor transformers.
    from spa.engine.stored_run import open_run
    from spa.errors import UsageError
    from spa.export.folder import PAIR_FORMATS, export_pairs

    if format not in {MERGED, *PAIR_FORMATS}:
        valid = ", ".join(sorted({MERGED, *PAIR_FORMATS}))
        raise UsageError(f"unknown format {format!r}. Valid: {valid}.")
    if format == MERGED and only is not None:
        raise UsageError(
            "--round chooses among preference pairs, but the format merged writes a model. Leave "
            f"--round out, or give --format {' or '.join(sorted(PAIR_FORMATS))}."
        )
    stored = open_run(run)
    output = Path(os.path.abspath(output))  # noqa: PTH100  # keeps links as the user wrote them
    if format == MERGED:
        _merged(stored, output, as_json=as_json)
        return
    exported = export_pairs(stored, output, PAIR_FORMATS[format], only)
    _say_pairs(exported, output, format, as_json=as_json)


def _merged(stored: StoredRun, output: Path, *, as_json: bool) -> None:
    from spa.cli.console import print_json
    from spa.cli.harmless import harmless
    from spa.export.merged import export_merged

    export_merged(stored, output)
    load = f"transformers.AutoModelForCausalLM.from_pretrained({str(output)!r})"
    if as_json:
        print_json({**_record(stored, output, MERGED), "load": load})
        return
    typer.echo(harmless(f"Model:   {output}"))
    typer.echo(harmless(f"Load:    {load}"))


def _say_pairs(exported: Exported, output: Path, format: str, *, as_json: bool) -> None:
    from spa.cli.console import print_json
    from spa.cli.harmless import harmless

    data = exported.data
    left_out = dict(sorted(data.left_out.items()))
    if as_json:
        print_json(
            {
                **_record(data.run, output, format),
                "rounds": list(data.rounds),
                "made": data.total,
                "written": len(data.pairs),
                "left_out": left_out,
                "load": exported.load,
            }
        )
        return
    of = f"{len(data.pairs)} of {data.total}"
    rounds = "round" if len(data.rounds) == 1 else "rounds"
    typer.echo(f"Pairs:   {of}, {rounds} {', '.join(map(str, data.rounds))}")
    if left_out:
        lost = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        typer.echo(harmless(f"Skipped: {lost}"))
    typer.echo(harmless(f"Card:    {output / 'README.md'}"))
    typer.echo(harmless(f"Load:    {exported.load}"))


def _record(stored: StoredRun, output: Path, format: str) -> dict[str, JsonValue]:
    return {"kind": "export", "run": stored.name, "format": format, "folder": str(output)}
