"""Scores responses on every objective: samples, refined responses and held-out answers alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from spa.contracts import Judge
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.models import Policy
from spa.engine.rows import JudgedRow
from spa.engine.stages.base import Stage, StageRows, run_stage
from spa.types import Objective, Prompt, Response, Score, Scored

__all__ = ["judge_stage", "objectives_on_scale", "objectives_to_judge", "scored"]


def objectives_on_scale(context: RunContext) -> tuple[Objective, ...]:
    """The recipe's objectives with the judge's scale filled in."""
    low, high = _judge(context).scale or (None, None)
    return tuple(replace(o, minimum=low, maximum=high) for o in context.recipe.objectives)


def objectives_to_judge(context: RunContext) -> tuple[Objective, ...]:
    """The same without thresholds, for judge and refiner.

    A threshold says how scores are compared, not how they come about; so a recipe with another
    threshold shares what was judged and refined.
    """
    return tuple(replace(o, threshold=None) for o in objectives_on_scale(context))


def judge_stage(
    context: RunContext,
    name: str,
    prompts: StageRows[Prompt],
    responses: StageRows[Response],
    policy: Policy,
) -> StageRows[JudgedRow]:
    """Runs a judging stage.

    Args:
        context: The run.
        name: ``"judge"``, ``"judge-refined"`` or ``"judge-answers-<policy>"``.
        prompts: All prompts.
        responses: What is judged.
        policy: Judges if the recipe names no backend for the judge.
    """
    section = context.recipe.judge
    judge = _judge(context)
    objectives = objectives_to_judge(context)

    def jobs() -> Sequence[Job[Mapping[str, Score]]]:
        of = {prompt.id: prompt for prompt in prompts.rows}
        return [
            Job(r.id, partial(judge.score, of[r.prompt_id], r, objectives)) for r in responses.rows
        ]

    prompt_of = {response.id: response.prompt_id for response in responses.rows}
    return run_stage(
        context,
        Stage(
            name=name,
            row_type=JudgedRow,
            components=(section,),
            jobs=jobs,
            rows=lambda response_id, scores: [
                JudgedRow(response_id, prompt_of[response_id], _checked(scores, objectives))
            ],
            reads=(prompts.key, responses.key),
            backend=section.backend or policy.backend,
            settings={"objectives": [[o.name, o.definition] for o in objectives]},
            unscored=_unscored,
        ),
    )


def scored(responses: Sequence[Response], judged: StageRows[JudgedRow]) -> dict[str, list[Scored]]:
    """Responses with their scores, by prompt; one that could not be judged has no scores."""
    scores = {row.response_id: row.scores for row in judged.rows}
    of_prompt: dict[str, list[Scored]] = {}
    for response in responses:
        each = Scored(response, scores.get(response.id, {}))
        of_prompt.setdefault(response.prompt_id, []).append(each)
    return of_prompt


def _unscored(row: JudgedRow) -> str | None:
    """Why a response lacks a score on some objective: the first reason."""
    return next((score.reason for score in row.scores.values() if score.value is None), None)


def _judge(context: RunContext) -> Judge:
    section = context.recipe.judge
    return cast("Judge", create(section))


def _checked(scores: Mapping[str, Score], objectives: Sequence[Objective]) -> dict[str, Score]:
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
