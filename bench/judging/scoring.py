"""Runs the judge `constitution` over responses as a run does, driven by the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spa.components.judges.configs import ConstitutionConfig
from spa.components.judges.constitution import ConstitutionJudge
from spa.contracts import Backend
from spa.engine.asking import Job, drive
from spa.types import Objective, Prompt, Response, Result, Score

__all__ = ["Asked", "judge"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A response to be scored on some objectives."""

    prompt: Prompt
    response: Response
    objectives: tuple[Objective, ...]


class _Forgetful:
    """A memory that keeps nothing, so that everything is asked."""

    def find(self, key: str) -> Result | None:
        """Nothing."""
        del key
        return None

    def keep(self, key: str, result: Result) -> None:
        """Drops the answer."""


def judge(
    rows: Sequence[Asked], backend: Backend, settings: ConstitutionConfig
) -> list[Mapping[str, Score]]:
    """Scores of every row by objective; a row that failed has none.

    Args:
        rows: What to judge.
        backend: The model.
        settings: Of the judge.
    """
    component = ConstitutionJudge(settings)
    found: list[Mapping[str, Score]] = [{} for _ in rows]

    def job(place: int, row: Asked) -> Job[Mapping[str, Score]]:
        asks = component.score
        return Job(str(place), lambda: asks(row.prompt, row.response, row.objectives))

    jobs = [job(place, row) for place, row in enumerate(rows)]
    for finished in drive(jobs, lambda: backend, _Forgetful(), seed=0, stage="judge"):
        if finished.value is not None:
            found[int(finished.job.id)] = finished.value
    return found
