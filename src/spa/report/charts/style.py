"""What all charts share: sizes, and colours that people with any colour vision tell apart.

Colours of series are Okabe and Ito's (Color Universal Design, 2008), in tones that stand on light
and dark paper. Text, axes and grid have the page's own colours, which follow its theme.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "PALETTE",
    "RED",
    "SCHEMA",
    "WIDTH",
    "colours",
    "from_none",
    "padded",
    "panels_of",
    "share_axis",
]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""Names the dialect; nothing is fetched from there."""

WIDTH = 700
"""Of a chart's plotting area in pixels, such that it fits on a printed page with its axis."""

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"
PALETTE = (BLUE, RED, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#B8A800")
_NEXT_TO_NOTHING = 1e-9


def colours(names: list[str]) -> dict[str, Any]:
    """A scale with a colour for each of the names, in order."""
    count = len(PALETTE)
    return {"domain": names, "range": [PALETTE[at % count] for at in range(len(names))]}


def padded(values: list[float], share: float = 0.15) -> list[float]:
    """The range of values with some room on both sides, never of no width."""
    low, high = min(values), max(values)
    room = max((high - low) * share, abs(high) * 0.01, _NEXT_TO_NOTHING)
    return [low - room, high + room]


def from_none(low: float | None, value: float) -> float:
    """An end of an interval, or the value itself where there is no interval."""
    return value if low is None else low


def panels_of(titles: Iterable[str]) -> dict[str, Any]:
    """A panel for each value of ``panel`` in the rows, under its title and in this order."""
    return {
        "field": "panel",
        "type": "nominal",
        "title": None,
        "sort": list(titles),
        "header": {"labelFontWeight": "bold", "labelLimit": 300},
    }


def share_axis(title: str) -> dict[str, Any]:
    """The field ``share`` of the rows from 0 to 100 % along x."""
    return {
        "field": "share",
        "type": "quantitative",
        "title": title,
        "axis": {"format": "%", "tickCount": 5},
        "scale": {"domain": [0, 1]},
    }
