"""Has a model write one improved response to every prompt from its scored samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import cast

from spa.contracts import Refiner
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.policy import Policy
from spa.engine.rows import JudgedRow
from spa.engine.stages.base import run_stage
from spa.engine.stages.judge import objectives_to_judge, scored_beside
from spa.engine.stages.stage import Stage, StageRows
from spa.engine.stages.token_ids import token_ids
from spa.recipe import AskingSpec
from spa.types import Group, Prompt, Response

__all__ = ["refine_stage"]


def refine_stage(
    context: RunContext,
    section: AskingSpec,
    prompts: StageRows[Prompt],
    samples: StageRows[Response],
    judged: StageRows[JudgedRow],
    policy: Policy,
) -> StageRows[Response]:
    """Runs the stage ``refine`` on every prompt that has a scored sample.

    The policy answers it if the recipe names no backend for the refiner. A refiner that returns
    nothing leaves its prompt without a row, which is no failure.
    """
    refiner = cast("Refiner", create(section))
    backend = section.backend or policy.backend
    ids = token_ids(context, backend, policy)
    objectives = objectives_to_judge(context)

    def jobs() -> Iterator[Job[Response | None]]:
        sampled = scored_beside(samples, judged)
        for prompt in prompts.rows:
            complete = tuple(s for s in sampled.of(prompt.id) if s.is_complete(objectives))
            if complete:
                group = Group(prompt, complete)
                yield Job(prompt.id, partial(refiner.refine, group, objectives))
        sampled.end()

    return run_stage(
        context,
        Stage(
            name="refine",
            row_type=Response,
            components=(section,),
            jobs=jobs,
            total=samples.jobs - len(samples.failures),
            rows=lambda job, response: ids.of(_rows(job.id, response)),
            reads=(prompts.key, samples.key, judged.key),
            backend=backend,
            settings=ids.settings,
            details=ids.settings,
        ),
    )


def _rows(prompt_id: str, response: Response | None) -> list[Response]:
    if response is None:
        return []
    return [replace(response, id=f"{prompt_id}/r", prompt_id=prompt_id, origin="refined", index=0)]
