"""Figures for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from train.compare import Comparison
from train.settings import Measured

__all__ = ["comparison_table"]

HEAD = (
    "case", "side", "pairs", "seconds", "pairs/s", "tokens/s", "peak MB", "net MB", "loss",
    "of peak",
)  # fmt: skip


def comparison_table(comparisons: Sequence[Comparison], peak_tflops: float | None) -> str:
    """Medians of both sides, and their ratios.

    Args:
        comparisons: The cases.
        peak_tflops: What the device can do; the last column is the share of it that 6 operations
            a weight and token come to. None: the column is empty.
    """
    rows: list[tuple[str, ...]] = [HEAD]
    for comparison in comparisons:
        for name, steps in (("spa", comparison.spa), ("TRL", comparison.trl)):
            rows.append((comparison.name, name, *_figures(steps, peak_tflops)))
    lines = _aligned(rows)
    for comparison in comparisons:
        ratios = comparison.ratios
        lines.append(
            f"{comparison.name}: {ratios['speed_ratio']:.2f} times as fast, "
            f"at {ratios['memory_ratio']:.2f} of the memory"
        )
    return "\n".join(lines)


def _figures(steps: Sequence[Measured], peak_tflops: float | None) -> tuple[str, ...]:
    seconds = median(step.seconds for step in steps)
    first = steps[0]
    share = ""
    if peak_tflops is not None:
        done = 6 * first.parameters * first.tokens / seconds
        share = f"{done / (peak_tflops * 1e12):.1%}"
    peak = median(step.peak_bytes for step in steps)
    net = median(step.peak_bytes - step.before_bytes for step in steps)
    return (
        str(first.pairs),
        f"{seconds:.1f}",
        f"{first.pairs / seconds:.3f}",
        f"{first.tokens / seconds:.0f}",
        f"{peak / 1e6:.0f}",
        f"{net / 1e6:.0f}",
        f"{first.loss:.6f}",
        share,
    )


def _aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
