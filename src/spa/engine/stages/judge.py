"""Scores responses on every objective: samples, refined responses and held-out answers alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from spa.contracts import Judge, Scale
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.joining import Beside
from spa.engine.policy import Policy
from spa.engine.rows import JudgedRow
from spa.engine.stages.base import run_stage
from spa.engine.stages.combine import combine_stage, combined_scale, scale_of
from spa.engine.stages.scores import checked, unscored
from spa.engine.stages.stage import Stage, StageRows
from spa.recipe import AskingSpec, ComponentSpec
from spa.types import Objective, Prompt, Response, Score, Scored

__all__ = ["judge_stage", "objectives_on_scale", "objectives_to_judge", "scored", "scored_beside"]


def objectives_on_scale(context: RunContext) -> tuple[Objective, ...]:
    """The recipe's objectives with the judge's scale filled in."""
    section = context.recipe.judge
    return _on_scale(context, combined_scale(section) if section.members else scale_of(section))


def objectives_to_judge(context: RunContext) -> tuple[Objective, ...]:
    """The same without thresholds, for judge and refiner.

    A threshold says how scores are compared, not how they come about; so a recipe with another
    threshold shares what was judged and refined.
    """
    return _without_thresholds(objectives_on_scale(context))


def judge_stage(
    context: RunContext,
    name: str,
    prompts: StageRows[Prompt],
    responses: StageRows[Response],
    policy: Policy,
) -> StageRows[JudgedRow]:
    """Runs a judging stage; of a judge with members, a stage for each, titled ``<name>/1`` and on.

    A member's stage is the one that it would have as the judge of a recipe, so they share rows.

    Args:
        context: The run.
        name: ``"judge"``, ``"judge-refined"`` or ``"judge-answers-<policy>"``.
        prompts: All prompts.
        responses: What is judged.
        policy: Judges if the recipe names no backend for the judge.
    """
    section = context.recipe.judge
    backend = section.backend or policy.backend
    if not section.members:
        return _scoring_stage(context, name, section, prompts, responses, backend)
    members = [
        _scoring_stage(
            context, name, member, prompts, responses, member.backend or backend, f"{name}/{number}"
        )
        for number, member in enumerate(section.members, start=1)
    ]
    return combine_stage(context, name, responses, members, objectives_to_judge(context))


def _scoring_stage(
    context: RunContext,
    name: str,
    section: AskingSpec,
    prompts: StageRows[Prompt],
    responses: StageRows[Response],
    backend: ComponentSpec,
    title: str = "",
) -> StageRows[JudgedRow]:
    """Has one judge score every response."""
    judge = cast("Judge", create(section))
    objectives = _without_thresholds(_on_scale(context, judge.scale))

    def jobs() -> Iterator[Job[Mapping[str, Score]]]:
        beside = Beside(responses.rows, _prompt_of)
        for prompt in prompts.rows:
            for response in beside.of(prompt.id):
                start = partial(judge.score, prompt, response, objectives)
                yield Job(response.id, start, prompt_id=prompt.id)
        beside.end()

    return run_stage(
        context,
        Stage(
            name=name,
            row_type=JudgedRow,
            components=(section,),
            jobs=jobs,
            total=len(responses.rows),
            rows=lambda job, scores: [
                JudgedRow(job.id, job.prompt_id, checked(scores, objectives))
            ],
            reads=(prompts.key, responses.key),
            backend=backend,
            settings={"objectives": [[o.name, o.definition] for o in objectives]},
            unscored=unscored,
            title=title,
        ),
    )


def _on_scale(context: RunContext, scale: Scale) -> tuple[Objective, ...]:
    low, high = scale or (None, None)
    return tuple(replace(o, minimum=low, maximum=high) for o in context.recipe.objectives)


def _without_thresholds(objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    return tuple(replace(o, threshold=None) for o in objectives)


def scored_beside(responses: StageRows[Response], judged: StageRows[JudgedRow]) -> Beside[Scored]:
    """Responses with their scores, to be read beside the prompts.

    One that could not be judged has no scores.
    """
    return Beside(_scored(responses, judged), lambda each: each.response.prompt_id)


def scored(responses: StageRows[Response], judged: StageRows[JudgedRow]) -> dict[str, list[Scored]]:
    """Responses with their scores, by prompt; for few of them."""
    of_prompt: dict[str, list[Scored]] = {}
    for each in _scored(responses, judged):
        of_prompt.setdefault(each.response.prompt_id, []).append(each)
    return of_prompt


def _scored(responses: StageRows[Response], judged: StageRows[JudgedRow]) -> Iterator[Scored]:
    """Both are in one order, but some responses may have no judgement."""
    rows = iter(judged.rows)
    row = next(rows, None)
    for response in responses.rows:
        if row is not None and row.response_id == response.id:
            yield Scored(response, row.scores)
            row = next(rows, None)
        else:
            yield Scored(response, {})
    if row is not None and not responses.planned:
        raise AssertionError(f"the judgement of {row.response_id!r} comes out of order")


def _prompt_of(response: Response) -> str:
    return response.prompt_id
