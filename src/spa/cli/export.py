"""``spa export``: turns what a run made into a form that other programs load, or its recipe."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spa.cli.options import RunFolder

if TYPE_CHECKING:
    from spa.engine.stored_run import StoredRun
    from spa.export.folder import Exported
    from spa.types import JsonValue

__all__ = ["export"]

MERGED = "merged"
RECIPE = "recipe"
_YAML = (".yaml", ".yml")


def export(
    run: RunFolder,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write; must not exist, or be empty. Of a recipe the file; without it, "
            "the recipe goes to stdout.",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="What to write. Valid: llamafactory, merged, parquet, recipe, trl. "
            "Default: recipe; with --output merged, unless that ends in .yaml.",
        ),
    ] = None,
    only: Annotated[
        int | None,
        typer.Option("--round", help="Pairs of this round only. Default: of all.", metavar="N"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON record on stdout instead of text.")
    ] = False,
) -> None:
    """Write a run's result in a form that other programs load, or its recipe.

    recipe: the recipe with every default, which `spa run` takes: spa export RUN > recipe.yaml
    merged: the model with its adapter merged in, loadable with plain transformers.
    trl, llamafactory: the preference pairs, for these trainers.
    parquet: the preference pairs with all that is known of them, token ids included.
    """
    # Here and below, so that `spa --help` imports neither torch nor transformers.
    from spa.cli.chosen_run import chosen_run
    from spa.errors import UsageError
    from spa.export.folder import PAIR_FORMATS, export_pairs

    valid = {MERGED, RECIPE, *PAIR_FORMATS}
    if format is None:
        pairs = sorted(PAIR_FORMATS) if only is not None else []
        if pairs and output is None:
            raise UsageError(f"--round needs --output and --format {' or '.join(pairs)}.")
        format = RECIPE if output is None or output.suffix in _YAML else MERGED
    if format not in valid:
        raise UsageError(f"unknown format {format!r}. Valid: {', '.join(sorted(valid))}.")
    if format == RECIPE:
        if only is not None:
            raise UsageError("--round chooses among preference pairs, and a recipe has none.")
        _recipe(chosen_run(run), output, as_json=as_json)
        return
    if output is None:
        raise UsageError(f"format {format} writes a folder: say which with --output FOLDER.")
    if format == MERGED and only is not None:
        raise UsageError(
            "--round chooses among preference pairs, but the format merged writes a model. Leave "
            f"--round out, or give --format {' or '.join(sorted(PAIR_FORMATS))}."
        )
    stored = chosen_run(run)
    output = Path(os.path.abspath(output))  # noqa: PTH100  # keeps links as the user wrote them
    if format == MERGED:
        _merged(stored, output, as_json=as_json)
        return
    exported = export_pairs(stored, output, PAIR_FORMATS[format], only)
    _say_pairs(exported, output, format, as_json=as_json)


def _recipe(stored: StoredRun, output: Path | None, *, as_json: bool) -> None:
    from spa.cli.console import out, print_json
    from spa.export.folder import check_free
    from spa.export.recipe import recipe_yaml

    text = recipe_yaml(stored)
    if as_json:
        print_json({"kind": "export", "run": stored.name, "format": RECIPE, "recipe": text})
    elif output is None:
        typer.echo(text, nl=False)
    else:
        from spa.engine.files import disk_errors

        check_free(output)
        with disk_errors(output):
            output.write_text(text, encoding="utf-8")
        out().print(f"Next: {shlex.join(['spa', 'validate', str(output)])}", soft_wrap=True)


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
