"""Samples several responses to every training prompt, and answers to held-out ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

from spa.contracts import Asks, Generator, chat_all
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.making import maker
from spa.engine.policy import Policy
from spa.engine.stages.base import run_stage
from spa.engine.stages.prompts import count_split
from spa.engine.stages.stage import Stage, StageRows
from spa.engine.stages.token_ids import token_ids
from spa.recipe import AnswerConfig
from spa.types import ChatRequest, Origin, Prompt, Response

__all__ = ["answer_stage", "sample_stage", "stamp"]

_make_response = maker(Response)


def stamp(
    responses: Sequence[Response], prompt_id: str, origin: Origin, prefix: str
) -> list[Response]:
    """Gives responses their ids, ``<prompt>/<prefix><index>``."""
    return [
        # Written out, as this is done for every row and `replace` takes much longer.
        _make_response(
            response.text,
            response.token_ids,
            response.finish_reason,
            response.details,
            f"{prompt_id}/{prefix}{i}",
            prompt_id,
            origin,
            i,
        )
        for i, response in enumerate(responses)
    ]


def sample_stage(
    context: RunContext, prompts: StageRows[Prompt], policy: Policy
) -> StageRows[Response]:
    """Runs the stage ``sample``: the recipe's generator on every training prompt.

    The policy answers it if the recipe names no backend for the generator.
    """
    section = context.recipe.generate
    generator = cast("Generator", create(section))
    backend = section.backend or policy.backend
    ids = token_ids(context, backend, policy)

    def jobs() -> Iterator[Job[Sequence[Response]]]:
        for prompt in prompts.rows:
            if prompt.split == "train":
                yield Job(prompt.id, partial(generator.sample, prompt))

    return run_stage(
        context,
        Stage(
            name="sample",
            row_type=Response,
            components=(section,),
            jobs=jobs,
            total=count_split(prompts, "train"),
            rows=lambda job, responses: ids.of(stamp(responses, job.id, "sample", "s")),
            reads=(prompts.key,),
            backend=backend,
            settings=ids.settings,
            details=ids.settings,
        ),
    )


def answer_stage(
    context: RunContext, prompts: StageRows[Prompt], policy: Policy
) -> StageRows[Response]:
    """Runs ``answer``: the policy answers the held-out prompts, without alternative system prompts.

    Every policy draws the same random numbers for the same prompt, which makes paired differences
    between policies steadier.
    """
    config = context.recipe.answer

    def jobs() -> Iterator[Job[Sequence[Response]]]:
        for prompt in prompts.rows:
            if prompt.split == "heldout":
                yield Job(prompt.id, partial(_answer, prompt, config))

    return run_stage(
        context,
        Stage(
            name=f"answer-{policy.name}",
            row_type=Response,
            components=(),
            jobs=jobs,
            total=count_split(prompts, "heldout"),
            rows=lambda job, responses: stamp(responses, job.id, "answer", "a"),
            reads=(prompts.key,),
            backend=policy.backend,
            settings=config.model_dump(mode="json"),
            seed_name="answer",
        ),
    )


def _answer(prompt: Prompt, config: AnswerConfig) -> Asks[Sequence[Response]]:
    request = ChatRequest(
        messages=prompt.messages,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
    )
    results = yield from chat_all([request] * config.n)
    return [
        Response(
            text=result.text,
            token_ids=result.token_ids,
            finish_reason=result.finish_reason,
            details={"reasoning": result.reasoning} if result.reasoning else {},
        )
        for result in results
    ]
