"""Preference pairs: their margins by the objective that decided, and the weights that they got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spa.report.charts.bins import binned
from spa.report.charts.style import BLUE, GREY, SCHEMA, WIDTH, colours, share_axis

__all__ = ["WEIGHTS", "margins", "weights"]

WEIGHTS = {
    "weight/share_0": "0",
    "weight/share_below_1": "below 1",
    "weight/share_1_to_2": "1 to 2",
    "weight/share_above_2": "above 2",
}
"""Metrics of training, and the weights that they count."""


def margins(by_objective: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The chart of margins.

    Args:
        by_objective: Objective that decided to the margins of its pairs.
    """
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "height": 180,
        "data": {"values": binned(by_objective)},
        "mark": {"type": "bar", "binSpacing": 1},
        "encoding": {
            "x": {
                "field": "start",
                "type": "quantitative",
                "bin": {"binned": True},
                "title": "margin",
            },
            "x2": {"field": "end"},
            "y": {"field": "count", "type": "quantitative", "title": "pairs", "stack": "zero"},
            "color": {
                "field": "series",
                "type": "nominal",
                "title": "decided by",
                "scale": colours(list(by_objective)),
                "legend": {"orient": "top", "labelLimit": 220},
            },
            "tooltip": [
                {"field": "series", "title": "decided by"},
                {"field": "start", "title": "from", "format": ".2f"},
                {"field": "end", "title": "to", "format": ".2f"},
                {"field": "count", "title": "pairs"},
            ],
        },
    }


def weights(shares: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The chart of weights.

    Args:
        shares: Run to the shares of its pairs, under the keys of `WEIGHTS`.
    """
    names = list(WEIGHTS.values())
    rows = [
        {"run": run, "weight": WEIGHTS[key], "share": share, "order": names.index(WEIGHTS[key])}
        for run, own in shares.items()
        for key, share in own.items()
    ]
    scale = {"domain": names, "range": [GREY, "#56B4E9", BLUE, "#003F66"]}
    return {
        "$schema": SCHEMA,
        "width": WIDTH - 160,
        "height": {"step": 30},
        "data": {"values": rows},
        "mark": {"type": "bar", "size": 18},
        "encoding": {
            "y": {
                "field": "run",
                "type": "nominal",
                "sort": list(shares),
                "title": None,
                "axis": {"labelLimit": 180},
            },
            "x": share_axis("share of pairs, mean over steps"),
            "color": {
                "field": "weight",
                "type": "nominal",
                "title": "weight in the loss",
                "scale": scale,
                "legend": {"orient": "top"},
            },
            "order": {"field": "order", "type": "quantitative"},
            "tooltip": [
                {"field": "run", "title": "run"},
                {"field": "weight", "title": "weight"},
                {"field": "share", "title": "share", "format": ".1%"},
            ],
        },
    }
