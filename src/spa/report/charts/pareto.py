"""Primary against secondary objective: an arrow a run, from the untrained to the trained model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spa.report.charts.style import SCHEMA, WIDTH, colours, from_none, padded
from spa.report.headline import Change
from spa.types import Objective

__all__ = ["Arrow", "pareto"]

_HEIGHT = 360
_SHADE = 0.1


@dataclass(frozen=True, slots=True)
class Arrow:
    """What a run did to the first two objectives; all their values are known."""

    run: str
    primary: Change
    secondary: Change


def pareto(arrows: Sequence[Arrow], objectives: Sequence[Objective]) -> dict[str, Any]:
    """The chart.

    Args:
        arrows: One a run.
        objectives: The first two; where one has a threshold, the side on which it counts as met is
            shaded.
    """
    points = [point for arrow in arrows for point in _points(arrow)]
    x = padded([p[key] for p in points for key in ("x", "x_low", "x_high")])
    y = padded([p[key] for p in points for key in ("y", "y_low", "y_high")])
    for point in points:
        point["angle"] = _angle(point, x, y)
    first, second = objectives[:2]
    axes = {
        "x": {**_axis("x", second.name), "scale": {"domain": x, "zero": False, "nice": False}},
        "y": {**_axis("y", first.name), "scale": {"domain": y, "zero": False, "nice": False}},
    }
    tooltip = [
        {"field": "run", "title": "run"},
        {"field": "model", "title": "model"},
        {"field": "primary", "title": first.name},
        {"field": "secondary", "title": second.name},
    ]
    colour = {
        "field": "run",
        "type": "nominal",
        "title": None,
        "scale": colours([arrow.run for arrow in arrows]),
        "legend": {"orient": "bottom", "columns": 3, "labelLimit": 220, "symbolType": "circle"}
        if len(arrows) > 1
        else None,
    }
    marks: list[dict[str, Any]] = [
        {"mark": {"type": "rule", "opacity": 0.55}, "encoding": {"x2": {"field": "x_high"}}},
        {"mark": {"type": "rule", "opacity": 0.55}, "encoding": {"y2": {"field": "y_high"}}},
        {
            "transform": [{"filter": "datum.model != 'base'"}],
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"x2": {"field": "from_x"}, "y2": {"field": "from_y"}},
        },
        {
            "transform": [{"filter": "datum.model == 'base'"}],
            "mark": {"type": "point", "size": 70, "strokeWidth": 2},
            "encoding": {"tooltip": tooltip},
        },
        {
            "transform": [{"filter": "datum.model != 'base'"}],
            "mark": {
                "type": "point",
                "shape": "triangle",
                "size": 150,
                "filled": True,
                "opacity": 1,
            },
            "encoding": {
                "angle": {"field": "angle", "type": "quantitative", "scale": None},
                "tooltip": tooltip,
            },
        },
    ]
    ends = ({"x": "x_low"}, {"y": "y_low"})
    layers = [*_shades(first, second, x, y, axes)]
    for place, mark in enumerate(marks):
        own = ends[place] if place < len(ends) else {}
        position = {key: {**axes[key], "field": own.get(key, key)} for key in ("x", "y")}
        layers.append({**mark, "encoding": {**position, "color": colour, **mark["encoding"]}})
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "height": _HEIGHT,
        "data": {"values": points},
        "layer": layers,
    }


def _axis(field: str, title: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "axis": {"title": title, "tickCount": 6}}


def _points(arrow: Arrow) -> list[dict[str, Any]]:
    found = []
    before = arrow.secondary.before, arrow.primary.before
    after = arrow.secondary.after, arrow.primary.after
    for model, (x, y) in (("base", before), ("trained", after)):
        assert x.value is not None
        assert y.value is not None
        found.append(
            {
                "run": arrow.run,
                "model": model,
                "x": x.value,
                "x_low": from_none(x.low, x.value),
                "x_high": from_none(x.high, x.value),
                "y": y.value,
                "y_low": from_none(y.low, y.value),
                "y_high": from_none(y.high, y.value),
                "from_x": before[0].value,
                "from_y": before[1].value,
                "primary": f"{y.value:.2f}",
                "secondary": f"{x.value:.2f}",
            }
        )
    return found


def _angle(point: dict[str, Any], x: list[float], y: list[float]) -> float:
    """Degrees clockwise from straight up, on the screen."""
    right = (point["x"] - point["from_x"]) / (x[1] - x[0]) * WIDTH
    up = (point["y"] - point["from_y"]) / (y[1] - y[0]) * _HEIGHT
    return math.degrees(math.atan2(right, up))


def _shades(
    first: Objective, second: Objective, x: list[float], y: list[float], axes: dict[str, Any]
) -> list[dict[str, Any]]:
    """A shade from a threshold to the end of the axis, for each objective that has one."""
    found = []
    for objective, (low, high), key in ((first, y, "y"), (second, x, "x")):
        if objective.threshold is None or objective.threshold >= high:
            continue
        start = max(low, objective.threshold)
        shade = {"met": f"{objective.name} counts as met from {objective.threshold:g}"}
        found.append(
            {
                "data": {"values": [{**shade, "start": start, "end": high}]},
                "mark": {"type": "rect", "opacity": _SHADE, "color": "#009E73"},
                "encoding": {
                    key: {**axes[key], "field": "start"},
                    f"{key}2": {"field": "end"},
                    "tooltip": {"field": "met"},
                },
            }
        )
    return found
