"""The first stage of a run: reads the prompts, limits them, and divides them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import cast

from spa.contracts import Source
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.dividing import divide
from spa.engine.inputs import reading_prompts
from spa.engine.stages.base import run_stage
from spa.engine.stages.stage import Stage, StageRows
from spa.types import Prompt, Split

__all__ = ["count_split", "prompts_stage"]


def prompts_stage(context: RunContext) -> StageRows[Prompt]:
    """Runs the stage ``prompts``.

    Raises:
        RecipeError: If the file of prompts cannot be read, or a row of it is not right; if there
            are no prompts, ids repeat, or the split leaves none to train on.
        SpaError: If another source cannot be read.
    """
    section = context.recipe.prompts
    source = cast("Source", create(section))
    heldout = None if section.split is None else section.split.heldout

    def found() -> Iterator[Prompt]:
        return islice(source.prompts(), section.limit)

    def divided() -> Iterator[Prompt]:
        with reading_prompts(context.recipe):
            prompts = divide(found, heldout, context.recipe.seed)
            yield from prompts if context.first is None else _first(prompts, context.first)

    with reading_prompts(context.recipe):
        fingerprint = source.fingerprint()
    settings = {"source": fingerprint, "limit": section.limit, "heldout": heldout}
    if context.first is not None:
        settings["first"] = context.first
    return run_stage(
        context,
        Stage(
            name="prompts",
            row_type=Prompt,
            components=(section,),
            jobs=lambda: (
                Job(prompt.id, lambda prompt=prompt: prompt)  # type: ignore[misc]
                for prompt in divided()
            ),
            total=section.limit if context.first is None else None,
            rows=lambda _, prompt: [prompt],
            settings=settings,
        ),
    )


def _first(prompts: Iterable[Prompt], most: int) -> Iterator[Prompt]:
    """The first so many prompts of either split, in their order."""
    taken: Counter[Split] = Counter()
    for prompt in prompts:
        if taken[prompt.split] < most:
            taken[prompt.split] += 1
            yield prompt


def count_split(prompts: StageRows[Prompt], split: Split) -> int:
    """How many prompts there are for training, or for evaluation."""
    return sum(each == split for each in prompts.column("split"))
