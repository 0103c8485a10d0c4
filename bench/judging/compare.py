"""All sides in turn over the same rows, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

from judging.material import make_rows
from judging.settings import Measured, Order, Side

__all__ = ["Comparison", "compare", "comparison_table"]

SAME = 1e-2
"""Points by which scores of the two label sides may differ in float32: what 1e-3 nats come to."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rounds.

    Attributes:
        rounds: In each, what every side measured.
    """

    rounds: tuple[dict[Side, Measured], ...]

    @property
    def ratios(self) -> dict[str, float | None]:
        """Medians over rounds: how many times as many judgements a second as the other sides.

        None for a side that the backend does not have.
        """
        others: Sequence[Side] = ("generate", "unshared")
        return {f"vs_{other}": self._ratio(other) for other in others}

    def _ratio(self, other: Side) -> float | None:
        if other not in self.rounds[0]:
            return None
        ratio = median(
            measured["expected"].judgements_a_second / measured[other].judgements_a_second
            for measured in self.rounds
        )
        return round(ratio, 2)

    @property
    def difference(self) -> float | None:
        """Largest difference of a score between the expected and the unshared side, if any."""
        if "unshared" not in self.rounds[0]:
            return None
        pairs = [
            pair
            for measured in self.rounds
            for pair in zip(measured["expected"].scores, measured["unshared"].scores, strict=True)
        ]
        if any((ours is None) != (other is None) for ours, other in pairs):
            return float("inf")
        return max(
            (abs(a - b) for a, b in pairs if a is not None and b is not None), default=float("inf")
        )


def compare(order: Order, say: Callable[[str], None]) -> Comparison:
    """Loads the model once, warms every side up, and has them take turns."""
    with ExitStack() as stack:
        return _compared(order, say, *_opened(order, stack))


def _opened(order: Order, stack: ExitStack) -> tuple[Any, Sequence[Any]]:
    """A backend and the ways to judge with it."""
    if order.backend == "vllm":
        from judging import vllm_sides

        return stack.enter_context(vllm_sides.opened(order)), vllm_sides.SIDES
    from judging import hf_sides

    return stack.enter_context(hf_sides.opened(order)), hf_sides.SIDES


def _compared(
    order: Order, say: Callable[[str], None], backend: Any, sides: Sequence[Any]
) -> Comparison:
    rows = make_rows(order)
    for side in sides:
        side(rows[:1], backend)
    rounds: list[dict[Side, Measured]] = []
    for number in range(order.rounds):
        found: dict[Side, Measured] = {}
        for side in sides if number % 2 == 0 else reversed(sides):
            measured = side(rows, backend)
            found[measured.side] = measured
            say(
                f"{measured.side}: {measured.judgements} judgements in {measured.seconds:.1f} s, "
                f"{measured.judgements_a_second:.2f} a second"
            )
        rounds.append(found)
    return Comparison(tuple(rounds))


def comparison_table(comparison: Comparison) -> str:
    """Medians of all sides, and the ratios."""
    lines = ["side      judgements  seconds  judgements/s  prompt tokens  new tokens"]
    sides: Sequence[Side] = ("expected", "unshared", "generate")
    for side in (side for side in sides if side in comparison.rounds[0]):
        steps = [measured[side] for measured in comparison.rounds]
        seconds = median(step.seconds for step in steps)
        first = steps[0]
        speed = first.judgements / seconds
        lines.append(
            f"{side:<8}  {first.judgements:>10}  {seconds:>7.1f}  {speed:>12.2f}"
            f"  {first.prompt_tokens:>13}  {first.new_tokens:>10}"
        )
    told = {"generate": "as written ones", "unshared": "as with a forward pass each"}
    times = [
        f"{ratio:.1f} times as many {'a second ' if not place else ''}{told[name[3:]]}"
        for place, (name, ratio) in enumerate(comparison.ratios.items())
        if ratio is not None
    ]
    lines.append("expected scores: " + ", ".join(times))
    if comparison.difference is not None:
        lines.append(
            f"largest difference to a forward pass each: {comparison.difference:.1e} points"
        )
    return "\n".join(lines)
