"""What training reported at every step, one small chart a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spa.report.charts.style import SCHEMA, WIDTH, colours

__all__ = ["METRICS", "MOST_POINTS", "training"]

METRICS = (
    "loss",
    "rewards/margins",
    "rewards/accuracies",
    "grad_norm",
    "learning_rate",
    "lengths/chosen",
)
"""The metrics that are shown, where training reported them."""

MOST_POINTS = 400
"""Steps of a curve that are shown; of more, every second, third and so on."""

_GAP = 80
_NAMED = 6


def training(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """The chart.

    Args:
        curves: Name of a run, or of a round of it, to its steps.
    """
    rows: list[dict[str, Any]] = []
    for name, steps in curves.items():
        every = -(-len(steps) // MOST_POINTS)
        rows += [
            {"series": name, "metric": metric, "step": step["step"], "value": step[metric]}
            for step in steps[::every]
            for metric in METRICS
            if metric in step
        ]
    there = [metric for metric in METRICS if any(row["metric"] == metric for row in rows)]
    return {
        "$schema": SCHEMA,
        "data": {"values": rows},
        "facet": {
            "field": "metric",
            "type": "nominal",
            "title": None,
            "sort": there,
            "header": {"labelFontWeight": "bold"},
        },
        "columns": 2,
        "resolve": {"scale": {"y": "independent"}, "axis": {"x": "independent"}},
        "spec": {
            "width": (WIDTH - _GAP) // 2,
            "height": 120,
            "mark": {"type": "line", "point": len(rows) < MOST_POINTS, "strokeWidth": 1.5},
            "encoding": {
                "x": {
                    "field": "step",
                    "type": "quantitative",
                    "title": "step",
                    "axis": _ticks(max((row["step"] for row in rows), default=0)),
                    "scale": {"zero": False},
                },
                "y": {
                    "field": "value",
                    "type": "quantitative",
                    "title": None,
                    "scale": {"zero": False},
                    "axis": {"tickCount": 4, "format": "~g"},
                },
                "color": {
                    "field": "series",
                    "type": "nominal",
                    "title": None,
                    "scale": colours(list(curves)),
                    "legend": {"orient": "bottom", "columns": 2, "labelLimit": 260}
                    if len(curves) > 1
                    else None,
                },
                "tooltip": [
                    {"field": "series", "title": "run"},
                    {"field": "step", "title": "step"},
                    {"field": "value", "title": "value", "format": ".4g"},
                ],
            },
        },
    }


def _ticks(last: float) -> dict[str, Any]:
    """Ticks at whole steps, of which few are named one by one."""
    if last <= _NAMED:
        return {"values": list(range(int(last) + 1)), "format": "d"}
    return {"tickCount": 5, "format": "d"}
