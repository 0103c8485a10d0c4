"""Times one side judging everything once."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from judging.counting import Counting
from judging.scoring import Asked, judge
from judging.settings import Measured, Side
from spa.components.judges.configs import ConstitutionConfig
from spa.contracts import Backend

__all__ = ["SideFailedError", "timed"]


class SideFailedError(Exception):
    """A side did not do what it is measured for."""


def timed(
    side: Side,
    rows: Sequence[Asked],
    backend: Backend,
    settings: ConstitutionConfig,
    new_tokens: int | None = None,
) -> Measured:
    """Judges all rows with the clock running.

    Args:
        side: Whose figures they are.
        rows: What to judge.
        backend: Loaded and warm.
        settings: Of the judge.
        new_tokens: How many every answer must have; None: any number.

    Raises:
        SideFailedError: If requests failed, or an answer is shorter.
    """
    counting = Counting(backend)
    started = _now()
    found = judge(rows, counting, settings)
    seconds = _now() - started
    asked = sum(len(row.objectives) for row in rows)
    if counting.failures or len(counting.lengths) != asked:
        why = counting.failures[0] if counting.failures else "some have no answer"
        raise SideFailedError(f"side {side}: {len(counting.lengths)} of {asked} answers: {why}")
    if new_tokens is not None and (shorter := [n for n in counting.lengths if n != new_tokens]):
        raise SideFailedError(
            f"side {side}: {len(shorter)} of {asked} answers do not have {new_tokens} tokens"
        )
    return Measured(
        side,
        asked,
        seconds,
        counting.prompt_tokens,
        counting.new_tokens,
        tuple(
            scores[one.name].value if one.name in scores else None
            for row, scores in zip(rows, found, strict=True)
            for one in row.objectives
        ),
    )


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
