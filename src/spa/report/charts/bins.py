"""Shares of values in bins that several series have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["binned"]


def binned(series: Mapping[str, Sequence[float]], most: int = 24) -> list[dict[str, Any]]:
    """Rows with ``series``, ``start``, ``end``, ``share`` of the series and ``count``.

    Args:
        series: Name to values; empty ones have no rows.
        most: Bins at most.
    """
    known = {name: np.asarray(values) for name, values in series.items() if len(values)}
    if not known:
        return []
    together = np.concatenate(list(known.values()))
    edges = _edges(together, most)
    rows = []
    for name, values in known.items():
        counts, _ = np.histogram(values, edges)
        rows += [
            {
                "series": name,
                "start": float(start),
                "end": float(end),
                "share": int(count) / len(values),
                "count": int(count),
            }
            for start, end, count in zip(edges, edges[1:], counts, strict=False)
        ]
    return rows


def _edges(values: Any, most: int) -> Any:  # noqa: ANN401 - arrays
    """A bin around each value where they lie on a grid, as scores that are whole numbers do."""
    unique = np.unique(values)
    if len(unique) > 1:
        step = np.diff(unique).min()
        places = (unique - unique[0]) / step
        if places[-1] < most and np.allclose(places, places.round()):
            return unique[0] + step * (np.arange(round(places[-1]) + 2) - 0.5)
    return np.histogram_bin_edges(values, bins=most if len(unique) > 1 else 1)
