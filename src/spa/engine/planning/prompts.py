"""Counts the prompts of a run that has not read them yet."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import islice
from typing import cast

from spa.contracts import Source
from spa.engine.components import create
from spa.engine.dividing import refuse_split
from spa.engine.inputs import reading_prompts
from spa.engine.planning.examples import EACH_SPLIT, ExampleRows
from spa.recipe import PromptsSpec, Recipe
from spa.types import Prompt

__all__ = ["counted_prompts"]

_SECONDS = 2.0
_CLOCK_EVERY = 1024


def counted_prompts(recipe: Recipe) -> ExampleRows[Prompt]:
    """The first prompts, and how many there are of each split; not known of a source that is slow.

    Args:
        recipe: What would be run.

    Raises:
        RecipeError: If the file of prompts cannot be read, a row of it is not right, or none would
            be left to train on.
        SpaError: If another source cannot be read.
    """
    with reading_prompts(recipe):
        return _counted(recipe.prompts)


def _counted(section: PromptsSpec) -> ExampleRows[Prompt]:
    heldout = None if section.split is None else section.split.heldout
    source = cast("Source", create(section))
    until = time.monotonic() + _SECONDS
    first: dict[str, list[Prompt]] = {"train": [], "heldout": []}
    counts = {"train": 0, "heldout": 0}
    for place, prompt in enumerate(islice(source.prompts(), section.limit)):
        counts[prompt.split] += 1
        rows = first[prompt.split]
        if len(rows) < 2 * EACH_SPLIT:
            rows.append(prompt)
        if place % _CLOCK_EVERY == 0 and time.monotonic() > until:
            return ExampleRows(first["train"][:EACH_SPLIT], None)
    total = counts["train"] + counts["heldout"]
    refuse_split(heldout, total)
    if heldout is None:
        return ExampleRows(
            [*first["train"][:EACH_SPLIT], *first["heldout"][:EACH_SPLIT]],
            total,
            {"split": tuple(counts.items())},
        )
    rows = [*first["train"], *first["heldout"]]
    kept = [replace(each, split="train") for each in rows[: min(EACH_SPLIT, total - heldout)]]
    out = [replace(each, split="heldout") for each in rows[len(kept) :][: min(EACH_SPLIT, heldout)]]
    return ExampleRows(
        [*kept, *out], total, {"split": (("train", total - heldout), ("heldout", heldout))}
    )
