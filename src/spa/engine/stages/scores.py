"""Scores as the rows of judging stages hold them: one an objective, each a value or a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from spa.engine.rows import JudgedRow
from spa.types import Objective, Score

__all__ = ["checked", "unscored"]


def checked(scores: Mapping[str, Score], objectives: Sequence[Objective]) -> dict[str, Score]:
    """One score an objective; what a judge left out or gave no number for is unscored."""
    checked: dict[str, Score] = {}
    for objective in objectives:
        score = scores.get(objective.name)
        if score is None:
            checked[objective.name] = Score(None, "missing")
        elif score.value is None:
            checked[objective.name] = replace(score, reason=score.reason or "unscored")
        elif not math.isfinite(score.value):
            checked[objective.name] = Score(None, "not_finite", score.details)
        else:
            checked[objective.name] = replace(score, value=float(score.value))
    return checked


def unscored(row: JudgedRow) -> str | None:
    """Why a response lacks a score on some objective: the first reason."""
    return next((score.reason for score in row.scores.values() if score.value is None), None)
