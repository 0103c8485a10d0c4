"""Shares of values in bins that several series have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["binned"]


def binned(series: Mapping[str, Sequence[float]], most: int = 24) -> list[dict[str, Any]]:
    """Rows with ``series``, ``start``, ``end``, ``share`` of the series and ``count``.

    Args:
        series: Name to values; empty ones have no rows.
        most: Bins at most.
    """
    import numpy as np

    known = {name: np.asarray(values) for name, values in series.items() if len(values)}
    if not known:
        return []
    together = np.concatenate(list(known.values()))
    edges = np.histogram_bin_edges(together, bins=min(most, max(1, len(np.unique(together)))))
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
