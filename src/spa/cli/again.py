"""The command line to type next: the same overrides, with the same plugins left out."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

__all__ = ["command_line", "place_options"]


def command_line(
    context: typer.Context,
    name: str,
    words: Iterable[object],
    sets: Sequence[str],
    swaps: Sequence[str],
    more: Sequence[str] = (),
) -> str:
    """A command with the options of the one that runs.

    Args:
        context: Of the command that runs; its parent holds what stands before the command.
        name: The command to type.
        words: Its arguments.
        sets: Values of ``--set``.
        swaps: Values of ``--swap``.
        more: Further options.
    """
    above = context.parent.params if context.parent else {}
    line = ["spa"]
    for plugins in above.get("plugins") or ():
        line += ["-P", plugins]
    line += [name, *map(str, words)]
    for swap in swaps:
        line += ["--swap", swap]
    for value in sets:
        line += ["--set", value]
    return shlex.join([*line, *more])


def place_options(runs_dir: Path, name: str | None) -> list[str]:
    """The options that say where the run lies."""
    where = [] if runs_dir == Path("runs") else ["--runs-dir", str(runs_dir)]
    return where if name is None else [*where, "--name", name]
