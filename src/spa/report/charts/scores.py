"""Scores of answers to held-out prompts, before and after training, by objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spa.report.charts.bins import binned
from spa.report.charts.style import BLUE, GREY, SCHEMA, WIDTH, panels_of

__all__ = ["scores"]

_GAP = 70


def scores(panels: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """The chart.

    Args:
        panels: Title of a panel to the scores under ``"before"`` and ``"after"``.
    """
    rows = [{**row, "panel": title} for title, series in panels.items() for row in binned(series)]
    columns = 2 if len(panels) > 1 else 1
    return {
        "$schema": SCHEMA,
        "data": {"values": rows},
        "facet": panels_of(panels),
        "columns": columns,
        "resolve": {"scale": {"x": "independent"}, "axis": {"x": "independent"}},
        "spec": {
            "width": WIDTH if columns == 1 else (WIDTH - _GAP) // 2,
            "height": 150,
            "mark": {"type": "bar", "opacity": 0.62, "binSpacing": 0},
            "encoding": {
                "x": {
                    "field": "start",
                    "type": "quantitative",
                    "bin": {"binned": True},
                    "title": "score",
                    "scale": {"zero": False},
                },
                "x2": {"field": "end"},
                "y": {
                    "field": "share",
                    "type": "quantitative",
                    "stack": None,
                    "title": "share of answers",
                    "axis": {"format": "%", "tickCount": 4},
                },
                "color": {
                    "field": "series",
                    "type": "nominal",
                    "title": None,
                    "scale": {"domain": ["before", "after"], "range": [GREY, BLUE]},
                    "legend": {"orient": "top"},
                },
                "tooltip": [
                    {"field": "series", "title": "model"},
                    {"field": "start", "title": "from", "format": ".2f"},
                    {"field": "end", "title": "to", "format": ".2f"},
                    {"field": "count", "title": "answers"},
                ],
            },
        },
    }
