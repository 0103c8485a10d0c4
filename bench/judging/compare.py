"""All sides in turn over the same rows, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

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
    def ratios(self) -> dict[str, float]:
        """Medians over rounds: how many times as many judgements a second as the other sides."""
        return {f"vs_{other}": round(self._ratio(other), 2) for other in ("generate", "unshared")}

    def _ratio(self, other: Side) -> float:
        return median(
            measured["expected"].judgements_a_second / measured[other].judgements_a_second
            for measured in self.rounds
        )

    @property
    def difference(self) -> float:
        """Largest difference of a score between the expected and the unshared side."""
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
    import torch

    from judging.expected_side import measure_expected
    from judging.generate_side import measure_generate
    from judging.material import make_rows
    from judging.unshared_side import measure_unshared
    from spa.components.backends.hf import HFBackend
    from spa.components.backends.hf_config import HFConfig

    torch.set_num_threads(order.threads)
    config = HFConfig.model_validate(
        {"path": order.model, "dtype": order.dtype, "device": order.device}
    )
    backend = HFBackend(config)
    rows = make_rows(order)
    sides = (measure_expected, measure_unshared, measure_generate)
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
    for side in sides:
        steps = [measured[side] for measured in comparison.rounds]
        seconds = median(step.seconds for step in steps)
        first = steps[0]
        speed = first.judgements / seconds
        lines.append(
            f"{side:<8}  {first.judgements:>10}  {seconds:>7.1f}  {speed:>12.2f}"
            f"  {first.prompt_tokens:>13}  {first.new_tokens:>10}"
        )
    ratios = comparison.ratios
    lines.append(
        f"expected scores: {ratios['vs_generate']:.1f} times as many a second as written ones, "
        f"{ratios['vs_unshared']:.1f} times as many as with a forward pass each"
    )
    lines.append(f"largest difference to a forward pass each: {comparison.difference:.1e} points")
    return "\n".join(lines)
