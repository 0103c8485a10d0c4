"""Sides in turn, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from generation.settings import Timing

__all__ = ["in_turn", "ratio", "timing_table"]


def in_turn(sides: Mapping[str, Callable[[], Timing]], repeats: int) -> dict[str, list[Timing]]:
    """Runs every side once, then all of them again, so that a slow minute meets all of them."""
    found: dict[str, list[Timing]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            found[name].append(run())
    return found


def ratio(these: Sequence[Timing], others: Sequence[Timing]) -> float:
    """Median over repeats of the time that these took, for 1 of the others."""
    pairs = zip(these, others, strict=True)
    return round(median(a.seconds / b.seconds for a, b in pairs), 3)


def timing_table(case: str, backend: str, found: Mapping[str, Sequence[Timing]]) -> str:
    """Figures for people: medians of each side."""
    width = max(map(len, found))
    lines = [f"{case}, {backend}:"]
    for name, timings in found.items():
        seconds = median(timing.seconds for timing in timings)
        speed = median(timing.tokens / timing.seconds for timing in timings)
        figures = f"{timings[0].rows} rows  {seconds:8.2f} s  {speed:8.1f} tokens/s"
        lines.append(f"  {name.ljust(width)}  {figures}")
    return "\n".join(lines)
