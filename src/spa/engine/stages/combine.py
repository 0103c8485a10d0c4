"""Makes one score of those of a judge's members. Asks nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import cast

from spa.contracts import Combiner, Judge, Scale
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.joining import Beside
from spa.engine.rows import JudgedRow
from spa.engine.stages.base import run_stage
from spa.engine.stages.scores import checked, unscored
from spa.engine.stages.stage import Stage, StageRows
from spa.errors import RunError
from spa.recipe import ComponentSpec, JudgeSpec
from spa.types import Objective, Response, Score

__all__ = ["combine_stage", "combined_scale", "scale_of"]


def scale_of(section: ComponentSpec) -> Scale:
    """Lowest and highest possible score of a judge that scores."""
    return cast("Judge", create(section)).scale


def combined_scale(section: JudgeSpec) -> Scale:
    """Lowest and highest possible score of a judge with members.

    Raises:
        RunError: If the scores of its members cannot be combined.
    """
    combiner = cast("Combiner", create(section))
    try:
        return combiner.combined_scale([scale_of(member) for member in section.members])
    except ValueError as error:
        raise RunError(f"judge '{section.registered.qualified}': {error}.") from error


def combine_stage(
    context: RunContext,
    name: str,
    responses: StageRows[Response],
    members: Sequence[StageRows[JudgedRow]],
    objectives: Sequence[Objective],
) -> StageRows[JudgedRow]:
    """Runs the stage that follows those of the members.

    A member that failed on a response counts as one that left it unscored, under the same reason.

    Args:
        context: The run.
        name: That of the stages of the members, without their number.
        responses: What was judged.
        members: Their judgements, in the order of the recipe.
        objectives: On the combined scale.
    """
    section = context.recipe.judge
    combiner = cast("Combiner", create(section))
    scales = [scale_of(member) for member in section.members]

    def jobs() -> Iterator[Job[Mapping[str, Score]]]:
        given = [_BesideResponses(member, objectives) for member in members]
        for response in responses.rows:
            scores = [each.of(response.id) for each in given]
            start = partial(combiner.combine, scores, scales, objectives)
            yield Job(response.id, start, prompt_id=response.prompt_id)
        for each in given:
            each.end()

    return run_stage(
        context,
        Stage(
            name=name,
            row_type=JudgedRow,
            components=(section, *section.members),
            jobs=jobs,
            total=len(responses.rows),
            rows=lambda job, scores: [
                JudgedRow(job.id, job.prompt_id, checked(scores, objectives))
            ],
            reads=(responses.key, *(member.key for member in members)),
            settings={"objectives": [[o.name, o.definition] for o in objectives], "scales": scales},
            unscored=unscored,
        ),
    )


class _BesideResponses:
    """What one member said, read beside the responses; a reason where it failed."""

    def __init__(self, member: StageRows[JudgedRow], objectives: Sequence[Objective]) -> None:
        self._rows = Beside(member.rows, lambda row: row.response_id)
        self._failures = member.failures
        self._objectives = objectives

    def end(self) -> None:
        """Makes sure that every judgement found its response."""
        self._rows.end()

    def of(self, response_id: str) -> Mapping[str, Score]:
        for row in self._rows.of(response_id):
            return row.scores
        failure = self._failures.get(response_id)
        reason = "missing" if failure is None else failure.reason
        return {objective.name: Score(None, reason) for objective in self._objectives}
