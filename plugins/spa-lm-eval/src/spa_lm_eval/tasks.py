"""Finds tasks of the harness by name or file, and says what to do where one cannot be had."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spa.api import SpaError
from spa_lm_eval.config import LmEvalConfig, is_task_file

__all__ = ["LoadedTasks", "find_tasks"]

HARNESS = "lm-eval"
_GROUP = re.compile(r"^group\s*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LoadedTasks:
    """The tasks of a recipe with their documents.

    Attributes:
        tasks: Name to the harness's own object.
        groups: Name of a task to the names of the groups that it was asked for by.
        version: Of the harness.
    """

    tasks: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    version: str = field(default_factory=lambda: version(HARNESS))


def find_tasks(config: LmEvalConfig) -> LoadedTasks:
    """All tasks of a recipe, loaded once in a process as long as no task file changes.

    Raises:
        SpaError: If there is no such task, its documents cannot be had, or it cannot be run here.
    """
    changed = tuple(_changed(task) for task in config.tasks)
    return _loaded(config.tasks, changed, config.num_fewshot)


def _changed(task: str) -> int:
    file = Path(task)
    return file.stat().st_mtime_ns if is_task_file(task) and file.is_file() else 0


@lru_cache(maxsize=4)
def _loaded(names: tuple[str, ...], changed: tuple[int, ...], shots: int | None) -> LoadedTasks:
    del changed  # part of what is remembered by alone
    from lm_eval.tasks import TaskManager

    # Its own tasks are thousands of files to look through.
    manager = TaskManager(include_defaults=not all(map(is_task_file, names)))
    found = LoadedTasks()
    for name in names:
        if name not in manager.task_index and not (is_task_file(name) and Path(name).is_file()):
            raise SpaError(_unknown(name, manager.all_tasks))
        if is_task_file(name) and _GROUP.search(Path(name).read_text(encoding="utf-8")):
            raise SpaError(
                f"evaluator 'lm-eval': {name} is the file of a group, and the harness finds groups"
                " by name alone. List the files of its tasks instead."
            )
        try:
            with _without_bars():
                loaded = manager.load([name])
        except Exception as error:  # of datasets, of the network, of the task's own code
            raise SpaError(_not_loaded(name, error)) from error
        for task_name, task in loaded["tasks"].items():
            _refuse_unfit(task_name, task)
            _set_shots(task, shots)
            found.tasks[task_name] = task
            found.groups.setdefault(task_name, [])
        if len(loaded["tasks"]) > 1:
            for task_name in loaded["tasks"]:
                found.groups[task_name].append(name)
    return found


@contextmanager
def _without_bars() -> Iterator[None]:
    """Bars of progress of `datasets` would break spa's own."""
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _set_shots(task: Any, shots: int | None) -> None:
    """As the harness does: a task that says 0 itself keeps it."""
    default = task.get_config("num_fewshot")
    if shots is not None and default != 0:
        task.set_config(key="num_fewshot", value=shots)
    elif default is None:
        task.set_config(key="num_fewshot", value=0)


def _refuse_unfit(name: str, task: Any) -> None:
    if getattr(task, "UNSAFE_CODE", False):
        raise SpaError(
            f"evaluator 'lm-eval': task {name!r} runs code that the model writes, which spa does"
            " not do. Take it out of `tasks`, and run it with lm-eval itself in a sandbox."
        )
    if getattr(task, "MULTIMODAL", False):
        raise SpaError(
            f"evaluator 'lm-eval': task {name!r} shows the model pictures or sounds, and spa's"
            " policies read text. Take it out of `tasks`."
        )


def _unknown(name: str, known: Mapping[str, Any] | list[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=3)
    like = f" Like it: {', '.join(close)}." if close else ""
    file = " no file of that path, and" if is_task_file(name) else ""
    return (
        f"evaluator 'lm-eval': there is{file} no task, group or tag {name!r} in lm-eval"
        f" {version(HARNESS)}.{like} `lm-eval ls tasks` lists all; a task file's path ends in .yaml"
        " and is relative to the recipe."
    )


def _not_loaded(name: str, error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return (
        f"evaluator 'lm-eval': task {name!r} cannot be loaded: {type(error).__name__}: {first}\n"
        "Its documents come from the Hugging Face hub, unless its file says otherwise. Without a"
        " network, run it once where there is one and bring the cache along (HF_HOME), or write a"
        " task file over a local file (dataset_path: json, dataset_kwargs: {data_files: ...})."
    )
