"""Parts of an example on a terminal: sections, texts cut to some lines, what data say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spa.cli.harmless import harmless
from spa.types import JsonValue

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["MORE", "cut", "data_section", "section"]

MORE = "\N{HORIZONTAL ELLIPSIS}"
"""Stands where something was left out."""

_LONGEST = 300


def data_section(meta: Mapping[str, JsonValue], *, full: bool = False) -> RenderableType:
    """What data say of a prompt: the choices, the right answer, the label; a line a key.

    Args:
        meta: Of the prompt. Places in lists are counted from 0, as answers name them.
        full: Show long values whole.
    """
    lines = []
    for key, value in meta.items():
        if isinstance(value, Sequence) and not isinstance(value, str):
            shown = "; ".join(f"{place}: {each}" for place, each in enumerate(value))
        else:
            shown = str(value)
        shown = harmless(shown, one_line=True)
        if len(shown) > _LONGEST and not full:
            shown = f"{shown[:_LONGEST]}{MORE} (--full)"
        lines.append(f"{harmless(key, one_line=True)}  {shown}")
    return Padding(section("data", Text("\n".join(lines))), (0, 0, 1, 0))


def section(name: str, body: RenderableType) -> RenderableType:
    """A part with its name on the left."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=8)
    grid.add_column(ratio=1)
    grid.add_row(Text(name, style="bold"), body)
    return Padding(grid, (0, 0, 0, 2))


def cut(text: Text, console: Console, width: int, most: int | None) -> Text:
    """The text in lines of a width, with a mark where some are left out."""
    lines = list(text.wrap(console, max(width, 1), tab_size=4))
    if most is not None and len(lines) > most + 1:
        left = len(lines) - most
        lines = lines[:most]
        lines.append(Text(f"{MORE} {left} more lines (--full)", style="dim"))
    return Text("\n").join(lines)
