"""Options that several commands take, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["MaxFailures", "RunsDir", "Sets", "Swaps"]

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
