"""Makes one score of those of a judge's members. Asks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from spa.contracts import Combiner, Judge, Scale
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.rows import JudgedRow
from spa.engine.stages.base import Stage, StageRows, run_stage
from spa.engine.stages.scores import checked, unscored
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

    def jobs() -> Sequence[Job[Mapping[str, Score]]]:
        scored = [{row.response_id: row.scores for row in member.rows} for member in members]
        found: list[Job[Mapping[str, Score]]] = []
        for response in responses.rows:
            given = [
                of.get(response.id) or _failed(member, response.id, objectives)
                for of, member in zip(scored, members, strict=True)
            ]
            found.append(Job(response.id, partial(combiner.combine, given, scales, objectives)))
        return found

    prompt_of = {response.id: response.prompt_id for response in responses.rows}
    return run_stage(
        context,
        Stage(
            name=name,
            row_type=JudgedRow,
            components=(section, *section.members),
            jobs=jobs,
            rows=lambda response_id, scores: [
                JudgedRow(response_id, prompt_of[response_id], checked(scores, objectives))
            ],
            reads=(responses.key, *(member.key for member in members)),
            settings={"objectives": [[o.name, o.definition] for o in objectives], "scales": scales},
            unscored=unscored,
        ),
    )


def _failed(
    member: StageRows[JudgedRow], response_id: str, objectives: Sequence[Objective]
) -> dict[str, Score]:
    failure = member.failures.get(response_id)
    reason = "missing" if failure is None else failure.reason
    return {objective.name: Score(None, reason) for objective in objectives}
