"""What a section of a report is made of: lines of text, tables and charts.

Sections say what they have in these terms; the page's template and nothing else says how it looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["Block", "Cell", "Chart", "Line", "Row", "Section", "Table", "Tone"]

Tone: TypeAlias = Literal["", "good", "bad", "dim"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it shows.
        tone: ``"good"`` or ``"bad"`` for what is sure, ``"dim"`` for what is not; empty: plain.
        link: A place in the page, as ``"#filter=flips"``; empty: none.
    """

    text: str
    tone: Tone = ""
    link: str = ""


Row: TypeAlias = Sequence[Cell | str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; every column but the first is aligned to the right where ``numbers`` is set."""

    head: Sequence[str]
    rows: Sequence[Row]
    title: str = ""
    numbers: bool = True


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Attributes:
        name: Unique in a report, of letters and hyphens.
        title: Says what is to be seen.
        spec: A Vega-Lite specification with its data.
        note: How to read it; may be empty.
    """

    name: str
    title: str
    spec: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; ``kind`` is ``"missing"`` where it says why something is not there."""

    text: str
    kind: Literal["plain", "note", "missing"] = "plain"


Block: TypeAlias = Line | Table | Chart


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a report.

    Attributes:
        name: Its place in the page's address.
        title: Its heading.
        blocks: What it shows, in order; never empty.
    """

    name: str
    title: str
    blocks: Sequence[Block]
