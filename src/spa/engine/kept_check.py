"""Keeps the result of a judge check in the store, and finds it again for a run.

A result lies under a key of the judge, the model that it asks, and the objectives: what its scores
depend on. So a run finds the check of its own judge, whatever recipe it was made with. A judge that
asks no model is the same with any, and is kept without one. The latest check of a judge counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spa.engine.checksums import with_checksums
from spa.engine.context import RunContext
from spa.engine.files import write_json
from spa.engine.keys import folder_name, stage_key
from spa.recipe import ComponentSpec

__all__ = ["find_check", "keep_check"]

_NAME = "judge-check"


def keep_check(context: RunContext, result: Mapping[str, Any], *, asked: bool) -> Path:
    """Writes a result and, last, its commit marker; returns its folder.

    Args:
        context: Of the check.
        result: JSON values.
        asked: Whether the judge asked a model.

    Raises:
        RunError: If the disk is full or the folder cannot be written.
    """
    key = _key(context, with_model=asked)
    folder = _folder(context, key)
    write_json(folder / "result.json", result)
    marker = {"format": 1, "stage": _NAME, "key": key, "committed_at": time.time()}
    write_json(folder / "stage.json", with_checksums(folder, marker, ["result.json"]))
    return folder


def find_check(context: RunContext) -> dict[str, Any] | None:
    """The result of the latest check of a recipe's judge; None if it was not checked.

    Loads no weights. A result that cannot be read counts as none: it can be made again.
    """
    for with_model in (True, False):
        folder = _folder(context, _key(context, with_model=with_model))
        if (folder / "stage.json").is_file():
            try:
                content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(content, dict):
                context.use(folder.name)
                return content
    return None


def _folder(context: RunContext, key: str) -> Path:
    return context.store / folder_name(_NAME, key)


def _key(context: RunContext, *, with_model: bool) -> str:
    judge = context.recipe.judge
    backend = judge.backend or context.recipe.model

    def identity(section: ComponentSpec) -> dict[str, Any]:
        """Of a judge, or of one whose scores it combines."""
        model = getattr(section, "backend", None) or backend
        asked = context.model_identity(model) if with_model else None
        return {"judge": context.identity(section), "model": asked}

    return stage_key(
        _NAME,
        {
            "judges": [identity(each) for each in (judge, *getattr(judge, "members", ()))],
            "objectives": [[o.name, o.definition] for o in context.recipe.objectives],
        },
    )
