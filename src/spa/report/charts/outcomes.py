"""Win, tie and lose rates of the trained model against the untrained one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spa.report.charts.style import GREEN, GREY, RED, SCHEMA, WIDTH, share_axis

__all__ = ["outcomes"]


def outcomes(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The chart.

    Args:
        rows: Each with ``label``, ``outcome`` (``win``, ``tie`` or ``lose``), ``share``, and
            ``flips``: what is said of the flip rate, or an empty text.
    """
    labels = list(dict.fromkeys(row["label"] for row in rows))
    order = {"win": 0, "tie": 1, "lose": 2}
    values = [{**row, "order": order[row["outcome"]]} for row in rows]
    y = {
        "field": "label",
        "type": "nominal",
        "sort": labels,
        "title": None,
        "axis": {"labelLimit": 210},
    }
    bars = {
        "mark": {"type": "bar", "size": 20},
        "encoding": {
            "y": y,
            "x": share_axis("share of prompts"),
            "color": {
                "field": "outcome",
                "type": "nominal",
                "title": None,
                "scale": {"domain": ["win", "tie", "lose"], "range": [GREEN, GREY, RED]},
                "legend": {"orient": "top"},
            },
            "order": {"field": "order", "type": "quantitative"},
            "tooltip": [
                {"field": "label", "title": "by"},
                {"field": "outcome", "title": "outcome"},
                {"field": "share", "title": "share", "format": ".1%"},
            ],
        },
    }
    flips = {
        "transform": [{"filter": "datum.outcome == 'win' && datum.flips != ''"}],
        "mark": {"type": "text", "align": "left", "dx": 6},
        "encoding": {"y": y, "x": {"datum": 1}, "text": {"field": "flips"}},
    }
    return {
        "$schema": SCHEMA,
        "width": WIDTH - 200,
        "height": {"step": 32},
        "data": {"values": values},
        "layer": [bars, flips],
    }
