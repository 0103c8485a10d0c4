"""How sure the judge was: the mass of its labels and the entropy of its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spa.report.charts.bins import binned
from spa.report.charts.style import SCHEMA, WIDTH, colours, panels_of

__all__ = ["judging"]

_GAP = 80


def judging(panels: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """The chart.

    Args:
        panels: What is measured to run to values.
    """
    rows = [{**row, "panel": name} for name, series in panels.items() for row in binned(series)]
    runs = list(dict.fromkeys(run for series in panels.values() for run in series))
    return {
        "$schema": SCHEMA,
        "data": {"values": rows},
        "facet": panels_of(panels),
        "columns": 2,
        "resolve": {
            "scale": {"x": "independent", "y": "independent"},
            "axis": {"x": "independent", "y": "independent"},
        },
        "spec": {
            "width": (WIDTH - _GAP) // 2,
            "height": 130,
            "mark": {"type": "bar", "opacity": 0.7, "binSpacing": 0},
            "encoding": {
                "x": {
                    "field": "start",
                    "type": "quantitative",
                    "bin": {"binned": True},
                    "title": None,
                    "axis": {"tickCount": 5},
                },
                "x2": {"field": "end"},
                "y": {
                    "field": "share",
                    "type": "quantitative",
                    "stack": None,
                    "title": "share of scores",
                    "axis": {"format": "%", "tickCount": 4},
                },
                "color": {
                    "field": "series",
                    "type": "nominal",
                    "title": None,
                    "scale": colours(runs),
                    "legend": {"orient": "bottom", "columns": 2, "labelLimit": 260}
                    if len(runs) > 1
                    else None,
                },
                "tooltip": [
                    {"field": "series", "title": "run"},
                    {"field": "start", "title": "from", "format": ".3f"},
                    {"field": "end", "title": "to", "format": ".3f"},
                    {"field": "count", "title": "scores"},
                ],
            },
        },
    }
