"""Evaluators with prompts of their own: keeps these, and has every policy respond to them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import cast

import msgspec

from spa.contracts import ModelEvaluator, PromptedEvaluator, Returns
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.policy import Policy
from spa.engine.stages.base import run_stage
from spa.engine.stages.by_model import ResponsesByModel
from spa.engine.stages.evaluate import evaluator_names
from spa.engine.stages.sample import stamp
from spa.engine.stages.stage import Stage, StageRows
from spa.recipe import AskingSpec, Recipe
from spa.types import Prompt, Response, Scored

__all__ = ["OwnPrompts", "own_prompts", "prompted_names"]

_encode = msgspec.json.Encoder(order="sorted").encode


def prompted_names(recipe: Recipe) -> list[str]:
    """Names of the evaluators that bring prompts of their own, as stages and figures have them."""
    return [name for name, _ in _prompted(recipe)]


@dataclass(slots=True)
class OwnPrompts:
    """The prompts of one evaluator, and what policies responded so far.

    Attributes:
        name: What stages and figures call the evaluator.
        section: The evaluator.
        prompts: All of them marked as held out.
        responses: Policy name to prompt id to responses, none of them with a score.
        keys: Of the stages that the responses come from.
    """

    name: str
    section: AskingSpec
    prompts: StageRows[Prompt]
    responses: dict[str, Mapping[str, Sequence[Scored]]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    def ask(self, context: RunContext, policy: Policy) -> None:
        """Has a policy respond to every prompt.

        Every policy draws the same random numbers for the same prompt.
        """
        component = self.section.registered.component.name
        respond = self._respond(context, policy)

        def jobs() -> Iterator[Job[Sequence[Response]]]:
            for prompt in self.prompts.rows:
                yield Job(prompt.id, partial(respond, prompt))

        done = run_stage(
            context,
            Stage(
                name=f"respond-{policy.name}-{component}",
                row_type=Response,
                components=(self.section,),
                jobs=jobs,
                total=len(self.prompts.rows),
                rows=lambda job, responses: stamp(responses, job.id, "answer", "a"),
                reads=(self.prompts.key,),
                backend=policy.backend,
                seed_name=f"respond-{component}",
                title=f"respond-{policy.name}-{self.name}",
            ),
        )
        found: dict[str, list[Scored]] = {}
        for response in done.rows:
            found.setdefault(response.prompt_id, []).append(Scored(response, {}))
        self.responses[policy.name] = found
        self.keys.append(done.key)

    def _respond(
        self, context: RunContext, policy: Policy
    ) -> Callable[[Prompt], Returns[Sequence[Response]]]:
        """What responds to a prompt: the evaluator by asking, or by running the model."""
        evaluator = create(self.section)
        if isinstance(evaluator, ModelEvaluator):
            rows = self.prompts.rows
            return ResponsesByModel(
                context, policy, evaluator, lambda: tuple(rows), self.section.registered.qualified
            ).of
        return cast("PromptedEvaluator", evaluator).respond


def own_prompts(context: RunContext) -> dict[str, OwnPrompts]:
    """Runs a stage of prompts for every evaluator that brings some, and gives these by its name.

    Raises:
        SpaError: If the data of one cannot be read.
    """
    return {
        name: OwnPrompts(name, section, _prompts_stage(context, section, name))
        for name, section in _prompted(context.recipe)
    }


def _prompted(recipe: Recipe) -> Iterator[tuple[str, AskingSpec]]:
    for section, name in zip(recipe.evaluate, evaluator_names(recipe), strict=True):
        if issubclass(section.registered.load_class(), PromptedEvaluator | ModelEvaluator):
            yield name, section


def _prompts_stage(context: RunContext, section: AskingSpec, name: str) -> StageRows[Prompt]:
    """Keeps the evaluator's prompts, their ids with its name before them, so as to be unique.

    The prompts themselves make the key: settings that leave them as they are leave stored answers.
    """
    evaluator = cast("PromptedEvaluator", create(section))
    component = section.registered.component.name
    found = [
        replace(prompt, id=f"{component}:{prompt.id}", split="heldout")
        for prompt in islice(evaluator.prompts(), context.first)
    ]
    return run_stage(
        context,
        Stage(
            name=f"prompts-{component}",
            row_type=Prompt,
            components=(),
            jobs=lambda: (
                Job(prompt.id, lambda prompt=prompt: prompt)  # type: ignore[misc]
                for prompt in found
            ),
            total=len(found),
            rows=lambda _, prompt: [prompt],
            settings={"prompts": hashlib.sha256(_encode(found)).hexdigest()},
            title=f"prompts-{name}",
        ),
    )
