"""Reads the prompts, limits them, and divides them into training and held-out ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from spa.contracts import Source
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.stages.base import Stage, StageRows, run_stage
from spa.errors import RunError
from spa.types import Message, Prompt

__all__ = ["divide", "prompts_stage"]


def prompts_stage(context: RunContext) -> StageRows[Prompt]:
    """Runs the stage ``prompts``.

    Raises:
        SpaError: If the source cannot be read.
        RunError: If there are no prompts, ids repeat, or the split leaves none to train on.
    """
    section = context.recipe.prompts
    source = cast("Source", create(section))
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

    The choice depends on ids, wording and seed, not on the order of the file. Prompts of the same
    wording fall on the same side, so that nothing that is trained on is measured on.

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
        if all(prompt.split == "heldout" for prompt in prompts):
            raise RunError("the source marks every prompt as held out: none is left to train on.")
        return list(prompts)
    if heldout >= len(prompts):
        raise RunError(
            f"prompts.split.heldout is {heldout}, but there are only {len(prompts)} prompts, so "
            "none is left to train on. Lower it or give more prompts."
        )
    kept_out = _kept_out(prompts, heldout, seed)
    return [replace(p, split="heldout" if p.id in kept_out else "train") for p in prompts]


def _kept_out(prompts: Sequence[Prompt], heldout: int, seed: int) -> set[str]:
    """Ids of ``heldout`` prompts; prompts of the same wording stay together.

    Raises:
        RunError: If repeated prompts leave no way to hold out exactly so many.
    """
    alike: dict[tuple[Message, ...], list[str]] = {}
    for prompt in prompts:
        alike.setdefault(prompt.messages, []).append(prompt.id)
    ranked = sorted(
        alike.values(), key=lambda ids: hashlib.sha256(f"{seed}|{ids[0]}".encode()).digest()
    )
    chosen: set[str] = set()
    for ids in ranked:
        if len(chosen) + len(ids) <= heldout:
            chosen.update(ids)
    if len(chosen) < heldout:
        repeated = ", ".join(max(alike.values(), key=len)[:3])
        raise RunError(
            f"prompts.split.heldout is {heldout}, but prompts of the same wording stay on one "
            f"side, and so many repeat ({repeated}, ...) that only {len(chosen)} can be held out. "
            "Remove the repetitions."
        )
    return chosen
