"""Which key and which folders a stage has in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from spa.engine.context import RunContext
from spa.engine.keys import folder_name, stage_key
from spa.engine.stages.stage import Stage
from spa.engine.store import StageFolder

__all__ = ["answers_name", "key_parts", "note_origin", "stage_folder"]

T = TypeVar("T")
R = TypeVar("R")


def key_parts(
    context: RunContext, stage: Stage[T, R], reads: Sequence[str] | None = None
) -> dict[str, Any]:
    """What the key of a stage is made of.

    Args:
        context: The run.
        stage: The stage.
        reads: Keys of the stages that it reads, if not its own.
    """
    model = None if stage.backend is None else context.model_identity(stage.backend)
    return {
        "components": [context.identity(spec) for spec in stage.components],
        "model": model,
        "reads": list(stage.reads if reads is None else reads),
        "settings": dict(stage.settings or {}),
        "seed": context.recipe.seed,
    }


def answers_name(context: RunContext, stage: Stage[T, R]) -> str:
    """Name of the folder of raw answers: without the component, so that a new parser finds them.

    All editions of what a stage reads have one such folder: most of what is asked is the same.
    """
    model = None if stage.backend is None else context.model_identity(stage.backend)
    reads = [context.origins.get(key, key) for key in stage.reads]
    key = stage_key("answers", {"model": model, "reads": reads})
    return folder_name(f"answers-{stage.name}", key)


def stage_folder(context: RunContext, stage: Stage[T, R], key: str) -> StageFolder[R]:
    """The folder of a stage's rows."""
    return StageFolder(context.store / folder_name(stage.name, key), stage.row_type)


def note_origin(context: RunContext, stage: Stage[T, R], base: str, key: str) -> None:
    """Remembers which key the stage would have if no row had ever been tried again."""
    reads = [context.origins.get(each, each) for each in stage.reads]
    if key != base or reads != list(stage.reads):
        context.origins[key] = stage_key(stage.name, key_parts(context, stage, reads))
