"""Combines the scores that several judges gave one response: their mean or median.

Step 2 of SPA with more than one judge. The members judge in stages of their own; what is here asks
nothing. Several judges of different model families were found to agree better with people than one
large judge, and to favour a family's own text less (arXiv 2404.18796).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from spa.api import JsonValue, Objective, Scale, Score
from spa.components.judges.ensemble_config import EnsembleConfig

__all__ = ["EnsembleJudge"]


class EnsembleJudge:
    """Takes the mean or median over the members that scored.

    Where scales differ, a member's score is mapped linearly from its own scale to the first
    member's: ``low_1 + (s - low_m) / (high_m - low_m) * (high_1 - low_1)``. Details of a score:
    ``members``, the mapped value of each member in order, None where it gave none, and
    ``standard_deviation`` over those that did (their number as divisor, so 0 for one).
    """

    def __init__(self, config: EnsembleConfig) -> None:
        """Keeps the settings."""
        self._config = config

    def combined_scale(self, scales: Sequence[Scale]) -> Scale:
        """The scale of the first member.

        Raises:
            ValueError: If scales differ and a member has none.
        """
        if len(set(scales)) > 1 and None in scales:
            raise ValueError(
                f"member {scales.index(None)} has no scale, so its scores cannot be mapped to that "
                "of the others. Use members with a scale, or members that all have none"
            )
        return scales[0]

    def combine(
        self,
        scores: Sequence[Mapping[str, Score]],
        scales: Sequence[Scale],
        objectives: Sequence[Objective],
    ) -> Mapping[str, Score]:
        """Returns the combined score of each objective; unscored as ``too_few_members``."""
        combined: dict[str, Score] = {}
        for objective in objectives:
            given = [each[objective.name] for each in scores]
            combined[objective.name] = self._one(given, scales)
        return combined

    def _one(self, given: Sequence[Score], scales: Sequence[Scale]) -> Score:
        to = scales[0]
        values = [
            None if score.value is None else _mapped(score.value, scale, to)
            for score, scale in zip(given, scales, strict=True)
        ]
        found = [value for value in values if value is not None]
        details: dict[str, JsonValue] = {"members": values}
        if len(found) < self._config.needed:
            reasons: list[JsonValue] = [score.reason for score in given]
            return Score(None, "too_few_members", {**details, "reasons": reasons})
        middle = statistics.fmean if self._config.combine == "mean" else statistics.median
        details["standard_deviation"] = statistics.pstdev(found)
        value = min(max(middle(found), min(found)), max(found))  # a mean may round past all of them
        return Score(value, details=details)


def _mapped(value: float, scale: Scale, to: Scale) -> float:
    """A score of one scale on another; as it is where the two are one or have no bounds."""
    if scale == to or scale is None or to is None:
        return value
    share = (value - scale[0]) / (scale[1] - scale[0])
    mapped = to[0] + share * (to[1] - to[0])
    return min(max(mapped, to[0]), to[1])  # it may round past the ends of the scale
