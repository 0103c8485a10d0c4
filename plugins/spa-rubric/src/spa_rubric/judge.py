"""The judge: points for what a response holds. It asks no model, so it just returns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from spa.api import Objective, Prompt, Response, Score, SpaError
from spa_rubric.config import Pattern, Rubric, RubricConfig

__all__ = ["RubricJudge"]


class RubricJudge:
    """``score = min(highest, max(lowest, sum of points))`` for each objective."""

    def __init__(self, config: RubricConfig) -> None:
        """Keeps the rubrics."""
        self.rubrics = config.rubrics

    @property
    def scale(self) -> tuple[float, float] | None:
        """Lowest and highest score where all rubrics share them, else None."""
        scales = {(rubric.lowest, rubric.highest) for rubric in self.rubrics.values()}
        return scales.pop() if len(scales) == 1 else None

    def score(
        self,
        prompt: Prompt,  # noqa: ARG002 - rules look at the response alone
        response: Response,
        objectives: Sequence[Objective],
    ) -> Mapping[str, Score]:
        """Returns one score an objective, with the matches of each pattern."""
        return {o.name: score_text(response.text, self.rubric(o.name)) for o in objectives}

    def rubric(self, objective: str) -> Rubric:
        """The rubric of an objective."""
        if objective not in self.rubrics:
            known = ", ".join(self.rubrics)
            raise SpaError(
                f"judge 'rubric' has no rubric for objective {objective!r}, only for: {known}. "
                f"Add judge.rubrics.{objective} to the recipe."
            )
        return self.rubrics[objective]


def score_text(text: str, rubric: Rubric) -> Score:
    """Scores a text by one rubric."""
    matches = [count_matches(text, pattern) for pattern in rubric.patterns]
    points = sum(n * p.points for n, p in zip(matches, rubric.patterns, strict=True))
    return Score(min(rubric.highest, max(rubric.lowest, points)), details={"matches": matches})


def count_matches(text: str, pattern: Pattern) -> int:
    """How often a pattern counts."""
    found = re.findall(pattern.match, text, re.IGNORECASE | re.MULTILINE)
    return len(found) if pattern.count == "each" else min(len(found), 1)
