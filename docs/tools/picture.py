"""Draws the terminal at the end of a run as SVG, from the run's manifest.

The picture in README.md is made by, after the quickstart:

    python docs/tools/picture.py runs/quickstart-* docs/assets/quickstart.svg
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from spa.cli.ladder import LiveLadder
from spa.cli.summary import print_summary
from spa.engine.manifest import read_manifest
from spa.types import RunEvent

__all__ = ["main", "picture"]

WIDTH = 100
COMMAND = "spa run recipes/quickstart.yaml"
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def main() -> None:
    """Reads the manifest of the first argument's run and writes the picture to the second."""
    run, target = map(Path, sys.argv[1:])
    svg = picture(read_manifest(run / "run.json"))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(svg, encoding="utf-8")


def picture(manifest: Mapping[str, Any]) -> str:
    """What the terminal shows when the run is done, ladder first, as SVG.

    Paths are shown as for a run in the folder ``runs``, wherever it lies. Fonts are the reader's
    own: the picture loads nothing.
    """
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, markup=False,
        highlight=False, emoji=False,
    )  # fmt: skip
    console.print(f"$ {COMMAND}", style="bold")
    console.print(_ladder(manifest).table())
    print_summary(Path("runs", manifest["name"]), manifest, console)
    svg = console.export_svg(title="spa", unique_id="terminal")
    return _FONTS.sub("", svg)


def _ladder(manifest: Mapping[str, Any]) -> LiveLadder:
    """The ladder as it stood when the last stage was done."""
    ladder = LiveLadder([])
    for stage in manifest["stages"]:
        details = {"cached": stage["cached"], "seconds": stage["seconds"], **stage["details"]}
        tokens = details.get("prompt_tokens", 0) + details.get("new_tokens", 0)
        if tokens:
            rate = {"tokens_per_second": tokens / stage["seconds"]}
            ladder(RunEvent("stage_progress", manifest["name"], stage["name"], details=rate))
        if "last_step" in details:
            loss = details["last_step"].get("loss")
            details |= {"step": details["steps"], "loss": loss}
        done, failed = stage["rows"] + stage["failed"], stage["failed"]
        ladder(
            RunEvent("stage_finished", manifest["name"], stage["name"], done, done, failed, details)
        )
    return ladder


if __name__ == "__main__":
    main()
