"""Reads the prompts, limits them, and divides them into training and held-out ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from spa.contracts import Source
from spa.engine.asking import Job
from spa.engine.context import RunContext
from spa.engine.stages.base import Stage, StageRows, run_stage
from spa.errors import RunError
from spa.types import Prompt

__all__ = ["divide", "prompts_stage"]


def prompts_stage(context: RunContext) -> StageRows[Prompt]:
    """Runs the stage ``prompts``.

    Raises:
        SpaError: If the source cannot be read.
        RunError: If there are no prompts, ids repeat, or the split leaves none to train on.
    """
    section = context.recipe.prompts
    source = cast("Source", section.registered.load_class()(section.config))
    heldout = None if section.split is None else section.split.heldout

    def jobs() -> Sequence[Job[Prompt]]:
        found = list(source.prompts())
        chosen = divide(found[: section.limit], heldout, context.recipe.seed)
        return [Job(prompt.id, lambda prompt=prompt: prompt) for prompt in chosen]  # type: ignore[misc]

    stage = Stage(
        name="prompts",
        row_type=Prompt,
        components=(section,),
        jobs=jobs,
        rows=lambda _, prompt: [prompt],
        settings={"source": source.fingerprint(), "limit": section.limit, "heldout": heldout},
    )
    return run_stage(context, stage)


def divide(prompts: Sequence[Prompt], heldout: int | None, seed: int) -> list[Prompt]:
    """Marks ``heldout`` prompts as held out; None keeps what the source says.

    The choice depends on ids and seed alone, not on the order of the file.

    Raises:
        RunError: If there are no prompts, ids repeat, or none is left to train on.
    """
    if not prompts:
        raise RunError("the source of prompts is empty: there is nothing to run.")
    ids = [prompt.id for prompt in prompts]
    if len(set(ids)) < len(ids):
        repeated = next(name for name in ids if ids.count(name) > 1)
        raise RunError(f"two prompts have the id {repeated!r}. Give every prompt an id of its own.")
    if heldout is None:
        return list(prompts)
    if heldout >= len(prompts):
        raise RunError(
            f"prompts.split.heldout is {heldout}, but there are only {len(prompts)} prompts, so "
            "none is left to train on. Lower it or give more prompts."
        )
    ranked = sorted(ids, key=lambda name: hashlib.sha256(f"{seed}|{name}".encode()).digest())
    kept_out = set(ranked[:heldout])
    return [replace(p, split="heldout" if p.id in kept_out else "train") for p in prompts]
