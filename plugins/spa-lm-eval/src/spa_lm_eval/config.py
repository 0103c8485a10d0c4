"""What a recipe can say to the evaluator ``lm-eval``."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Self

from pydantic import Field, model_validator

from spa.api import ComponentConfig, ModelPath, NotInKey

__all__ = ["LmEvalConfig", "is_task_file"]


def is_task_file(task: str) -> bool:
    """Whether a task is the path of a file rather than a name."""
    return PurePath(task).suffix in (".yaml", ".yml")


class LmEvalConfig(ComponentConfig):
    """Settings of the evaluator ``lm-eval``."""

    tasks: Annotated[
        tuple[ModelPath, ...], NotInKey("the tasks' settings and documents are hashed")
    ] = Field(
        min_length=1,
        description="Names of tasks, groups or tags (`lm-eval ls tasks` lists them), or paths of"
        " task files in YAML, relative to the recipe.",
    )
    trust_task_files: bool = Field(
        default=False,
        description="Whether task files of the recipe may be used. They can name Python code, which"
        " then runs, and their templates are not confined.",
    )
    num_fewshot: int | None = Field(
        default=None, ge=0, description="Worked examples before a document. Null: as the task says."
    )
    limit: int | None = Field(
        default=None, ge=1, description="Only the first so many documents of each task. Null: all."
    )
    batch_size: Annotated[int, NotInKey("changes speed and memory only")] = Field(
        default=8, ge=1, description="How many requests run side by side."
    )
    confidence: float = Field(default=0.95, gt=0, lt=1, description="Coverage of the intervals.")
    resamples: int = Field(
        default=10_000, ge=1, description="How many times documents are drawn anew for an interval."
    )
    seed: int = Field(default=0, ge=0, description="Seed of that drawing.")

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        files = [task for task in self.tasks if is_task_file(task)]
        if files and not self.trust_task_files:
            raise ValueError(
                f"tasks: {files[0]} is a task file, and such a file can run code. Read it, then set"
                " trust_task_files: true"
            )
        return self
