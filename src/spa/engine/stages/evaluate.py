"""Measures every policy of a run on the held-out prompts, before and after training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, cast

from spa.contracts import Evaluator
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.policy import Policy
from spa.engine.rows import EvaluationRow
from spa.engine.stages.base import run_stage
from spa.engine.stages.judge import objectives_on_scale
from spa.engine.stages.prompts import count_split
from spa.engine.stages.stage import Stage, StageRows
from spa.errors import RunError
from spa.recipe import AskingSpec, Recipe
from spa.types import EvaluationItem, JsonValue, Prompt, Scored

__all__ = ["evaluate_stage", "evaluator_names", "numbered"]


def evaluator_names(recipe: Recipe) -> list[str]:
    """What stages and figures call the evaluators: ``pairwise``, the next one ``pairwise/2``.

    The same evaluator may be there more than once, each time asking another model.
    """
    return numbered(section.registered.component.name for section in recipe.evaluate)


def numbered(names: Iterable[str]) -> list[str]:
    """Names in their order, of which one that was there before gets its number."""
    seen: Counter[str] = Counter()
    found: list[str] = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}/{seen[name]}")
    return found


def evaluate_stage(
    context: RunContext,
    section: AskingSpec,
    name: str,
    prompts: StageRows[Prompt],
    answers: Mapping[str, Mapping[str, Sequence[Scored]]],
    judge: Policy,
    reads: tuple[str, ...],
    total: int | None = None,
) -> list[dict[str, Any]]:
    """Runs one evaluator and returns its figures as the manifest keeps them.

    Args:
        context: The run.
        section: The evaluator.
        name: What stage and figures call it, see `evaluator_names`.
        prompts: All prompts; only held-out ones are used.
        answers: Policy name to prompt id to scored answers, the untrained policy first.
        judge: Whose model answers what the evaluator asks, if neither it nor the judge has a
            backend of its own.
        reads: Keys of the stages that the answers come from.
        total: How many of the prompts are held out; None: to be counted.
    """
    evaluator = cast("Evaluator", create(section))
    objectives = objectives_on_scale(context)

    def jobs() -> Iterator[Job[Mapping[str, JsonValue]]]:
        for item in _items(prompts.rows, answers):
            yield Job(item.prompt.id, partial(evaluator.evaluate, item, objectives))

    done = run_stage(
        context,
        Stage(
            name=f"evaluate-{section.registered.component.name}",
            row_type=EvaluationRow,
            components=(section,),
            jobs=jobs,
            total=count_split(prompts, "heldout") if total is None else total,
            rows=lambda job, record: [EvaluationRow(job.id, section.registered.qualified, record)],
            reads=reads,
            backend=section.backend or context.recipe.judge.backend or judge.backend,
            settings={
                "objectives": [[o.name, o.definition, o.threshold] for o in objectives],
                "models": list(answers),
            },
            title=f"evaluate-{name}",
        ),
    )
    if done.planned:
        return []
    try:
        figures = evaluator.summary([row.record for row in done.rows], objectives)
    except Exception as error:
        raise RunError(
            f"evaluator '{section.registered.qualified}' cannot sum up its rows: "
            f"{type(error).__name__}: {error}. The rows are kept; the model is trained."
        ) from error
    # A prompt on which the evaluator broke belongs to every denominator.
    return [
        {
            "evaluator": name,
            **asdict(replace(metric, missing=metric.missing + len(done.failures))),
        }
        for metric in figures
    ]


def _items(
    prompts: Iterable[Prompt], answers: Mapping[str, Mapping[str, Sequence[Scored]]]
) -> Iterator[EvaluationItem]:
    for prompt in prompts:
        if prompt.split == "heldout":
            yield EvaluationItem(
                prompt,
                {name: tuple(of_prompt.get(prompt.id, ())) for name, of_prompt in answers.items()},
            )
