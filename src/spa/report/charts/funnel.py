"""The funnel of a round: prompts that got through each step, and those lost there, by reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from spa.report.charts.style import BLUE, PALETTE, SCHEMA, WIDTH

__all__ = ["funnel", "place_of"]

KEPT = "got through"


def place_of(reason: str, run: int) -> str:
    """Where in the page the examples are that were dropped for a reason.

    Args:
        reason: Its code.
        run: Which of the report's runs, from 0.
    """
    query = {"run": run, "filter": "dropped", "reason": reason}
    return f"#{urlencode(query)}"


def funnel(steps: Sequence[Mapping[str, Any]], run: int, *, clickable: bool) -> dict[str, Any]:
    """The chart; a bar of lost prompts leads to them where it is clickable.

    Args:
        steps: As the manifest has them.
        run: Which of the report's runs, from 0.
        clickable: Whether the examples of this round are in the page.
    """
    rows: list[dict[str, Any]] = []
    for step in steps:
        rows.append({"step": step["name"], "what": KEPT, "count": step["prompts"], "order": 0})
        for at, (reason, count) in enumerate(_ranked(step["lost"]), start=1):
            row = {"step": step["name"], "what": reason, "count": count, "order": at}
            if clickable:
                row |= {"go": place_of(reason, run)}
            rows.append(row)
    reasons = list(dict.fromkeys(row["what"] for row in rows if row["what"] != KEPT))
    others = [each for each in PALETTE if each != BLUE]
    colours = [BLUE, *(others[at % len(others)] for at in range(len(reasons)))]
    return {
        "$schema": SCHEMA,
        "width": WIDTH - 60,
        "height": {"step": 30},
        "data": {"values": rows},
        "mark": {"type": "bar", "cursor": "pointer" if clickable else "default"},
        "encoding": {
            "y": {
                "field": "step",
                "type": "nominal",
                "sort": [step["name"] for step in steps],
                "title": None,
            },
            "x": {"field": "count", "type": "quantitative", "title": "prompts"},
            "color": {
                "field": "what",
                "type": "nominal",
                "title": None,
                "scale": {"domain": [KEPT, *reasons], "range": colours},
                "legend": {"orient": "bottom", "columns": 3, "labelLimit": 220},
            },
            "order": {"field": "order", "type": "quantitative"},
            "tooltip": [
                {"field": "step", "title": "step"},
                {"field": "what", "title": "what became of them"},
                {"field": "count", "title": "prompts"},
            ],
        },
    }


def _ranked(lost: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(lost.items(), key=lambda item: (-item[1], item[0]))
