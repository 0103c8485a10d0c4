"""How time and memory grow with the responses to a prompt and with the prompt's length.

TRL's cost a pair does not depend on how many pairs there are, so it trains on a few of them. The
update of the weights is timed apart and shared among the pairs of the whole step on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from train.cases import Case
from train.launch import SideFailedError, measure
from train.settings import Order, Side

__all__ = ["LENGTHS", "RESPONSES", "growth_points"]

Axis = Literal["responses", "prompt_tokens"]

RESPONSES = (2, 4, 8, 16)
LENGTHS = (64, 256, 512, 1024, 2048)
MEASURED_PAIRS = 3
PAIRS_A_FORWARD = 1
"""The least memory that TRL can do with."""


def growth_points(
    threads: int, device: str, dtype: str, say: Callable[[str], None], *, quick: bool = False
) -> list[dict[str, Any]]:
    """One record a side and size; a size that could not be measured has None for its figures.

    Args:
        threads: Of both sides.
        device: Where.
        dtype: What forward passes compute in.
        say: Told of every record.
        quick: Whether the smallest size on each axis will do, to see that everything runs.
    """
    points = []
    for axis, value, case in _cases(1 if quick else None):
        for side in ("spa", "trl"):
            point = _point(side, case, threads, device, dtype)
            say(f"{axis} {value} {side}: {point}")
            points.append({"axis": axis, "value": value, "side": side, **point})
    return points


def _cases(count: int | None) -> Iterator[tuple[Axis, int, Case]]:
    for size in RESPONSES[:count]:
        # At least six pairs a step: two responses to one prompt make only one.
        prompts = max(1, 6 // (size * (size - 1) // 2))
        yield "responses", size, Case(f"responses-{size}", prompts, size, prompt_tokens=64)
    for length in LENGTHS[:count]:
        yield "prompt_tokens", length, Case(f"prompt-{length}", 1, prompt_tokens=length)


def _point(side: Side, case: Case, threads: int, device: str, dtype: str) -> dict[str, Any]:
    order = Order(
        side,
        case,
        threads=threads,
        device=device,
        dtype=dtype,
        pairs_a_forward=PAIRS_A_FORWARD,
        measured_pairs=MEASURED_PAIRS,
    )
    try:
        step = measure(order)
    except SideFailedError:  # most likely out of memory
        return {"seconds_a_pair": None, "peak_mb": None, "pairs": case.pairs, "measured_pairs": 0}
    return {
        "seconds_a_pair": round(step.seconds_a_pair(case.pairs), 4),
        "peak_mb": round(step.peak_bytes / 1e6),
        "pairs": case.pairs,
        "measured_pairs": step.pairs,
    }
