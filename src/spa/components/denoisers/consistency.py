"""Keeps a group only if its refined response beats every sample on every objective.

First of the two denoising criteria of SPA (arXiv 2511.06222), between judging and pairing: a model
that improves a response and then does not score it higher is not to be trusted on this prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

from spa.api import Group, JsonValue, Objective, Scored, Verdict
from spa.components.denoisers.configs import ConsistencyConfig

__all__ = ["ConsistencyDenoiser"]


class ConsistencyDenoiser:
    """``s_k(refined) > max_i s_k(sample_i)`` for every objective k, strictly.

    Reasons: ``consistent``; ``refined_not_better``; ``ceiling`` when a best sample is at the top
    of the scale already, so that no response could have been strictly better; ``no_refined``;
    ``too_few_samples`` when there is nothing to compare with.
    """

    def __init__(self, config: ConsistencyConfig) -> None:
        """Keeps the settings."""
        self._config = config

    def verdict(self, group: Group, objectives: Sequence[Objective]) -> Verdict:
        """Returns whether the group stays, with best and refined scores an objective."""
        if not group.samples:
            return Verdict(keep=False, reason="too_few_samples", details={"samples": 0})
        best = [max(column) for column in zip(*_vectors(group.samples, objectives), strict=True)]
        details: dict[str, JsonValue] = {
            f"best_sample.{o.name}": value for o, value in zip(objectives, best, strict=True)
        }
        if group.refined is None:
            return self._failed("no_refined", (), details)
        refined = group.refined.vector(objectives)
        details |= {
            f"refined.{o.name}": value for o, value in zip(objectives, refined, strict=True)
        }
        if all(new > old for new, old in zip(refined, best, strict=True)):
            return Verdict(keep=True, reason="consistent", details=details)
        at_ceiling = any(self._is_top(s, o) for s, o in zip(best, objectives, strict=True))
        reason = "ceiling" if at_ceiling else "refined_not_better"
        return self._failed(reason, (group.refined.id,), details)

    def _is_top(self, score: float, objective: Objective) -> bool:
        top = objective.maximum
        return top is not None and score >= top - self._config.ceiling_tolerance

    def _failed(
        self, reason: str, refined: tuple[str, ...], details: dict[str, JsonValue]
    ) -> Verdict:
        if self._config.on_fail == "drop_refined":
            return Verdict(keep=True, reason=reason, drop=refined, details=details)
        return Verdict(keep=False, reason=reason, details=details)


def _vectors(
    responses: Sequence[Scored], objectives: Sequence[Objective]
) -> list[tuple[float, ...]]:
    return [scored.vector(objectives) for scored in responses]
