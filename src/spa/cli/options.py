"""Options that several commands take, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "MaxFailures",
    "RecipeFile",
    "RunFolder",
    "RunName",
    "RunsDir",
    "Sets",
    "Swaps",
    "check_name",
]

RecipeFile = Annotated[Path, typer.Argument(help="The recipe file.", metavar="RECIPE")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a value: loss.alpha=2. Repeatable.", metavar="KEY=VALUE"),
]
Swaps = Annotated[
    list[str] | None,
    typer.Option(
        "--swap",
        help="Exchange a component for another with its defaults: loss=simpo. Repeatable.",
        metavar="SECTION=NAME",
    ),
]
RunFolder = Annotated[
    Path,
    typer.Argument(
        help="Folder of a run, for example runs/quickstart, or its name alone.", metavar="RUN"
    ),
]
RunName = Annotated[
    str | None, typer.Option("--name", help="Name of the run. Default: made from the recipe.")
]
RunsDir = Annotated[
    Path,
    typer.Option("--runs-dir", help="Folder of runs and of what they share.", envvar="SPA_RUNS"),
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        "--max-failures",
        help="Stop at a stage when more rows than that failed: 10, or 5%. Default: no limit, "
        "unless all fail.",
        metavar="N|P%",
    ),
]


def check_name(name: str | None) -> None:
    """Makes sure that a name is one of a folder beside the store.

    Raises:
        typer.BadParameter: If it is not.
    """
    if name is None:
        return
    if name in ("", ".", "..", "store") or Path(name).name != name or not name.isprintable():
        raise typer.BadParameter(
            f"{name!r} cannot name a run: it is one folder in the runs folder, and not 'store'.",
            param_hint="--name",
        )
