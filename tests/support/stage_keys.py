"""The keys that the stages of a run would have, without carrying any of them out but ``prompts``.

The stages' own code makes the keys; only their jobs are not run. What training would make is a file
that says what it was trained on, so that keys of what follows depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from quick_model import QuickModel

from spa.engine.context import RunContext
from spa.engine.interrupt import Interrupt
from spa.engine.keys import stage_key
from spa.engine.models import ModelPool
from spa.engine.pipeline import _Run
from spa.engine.stages import base, combine, denoise, evaluate, judge, pairs, refine, sample
from spa.engine.stages.stage import Stage, StageRows
from spa.recipe import Recipe
from spa.types import PreferencePair

__all__ = ["KeysOf", "keys_without_running", "write_model_files"]

KeysOf = Callable[[Recipe], dict[str, str]]
_PAIR = PreferencePair("p", "a", "b", (1.0,), (0.0,), 1.0, 1.0)


class _UnwrittenRun(_Run):
    def note(self, status: Any) -> dict[str, Any]:
        del status
        return {}


def keys_without_running(patch: pytest.MonkeyPatch, runs: Path) -> KeysOf:
    """Gives, for a recipe, the title and key of every stage.

    Args:
        patch: Keeps the stages from being carried out.
        runs: Folder for what little is written.
    """
    QuickModel(patch)
    found: dict[str, str] = {}

    def note(context: RunContext, stage: Stage[Any, Any]) -> StageRows[Any]:
        key = stage_key(stage.name, base.key_parts(context, stage))
        found[stage.shown] = key
        return StageRows(key, [_PAIR] if stage.name == "pairs" else [], {})

    for module in (sample, judge, combine, refine, denoise, pairs, evaluate):
        patch.setattr(module, "run_stage", note)

    def keys_of(recipe: Recipe) -> dict[str, str]:
        found.clear()
        models = ModelPool()
        context = RunContext("keys", recipe, runs, models, Interrupt(), lambda _: None)
        _UnwrittenRun(context).all()
        made = {record.name: record.key for record in context.stages}
        return {**made, **found}

    return keys_of


def write_model_files(folder: Path, changes: Mapping[str, str] | None = None) -> Path:
    """Files such as a model has, enough to know it by; some of them with other content."""
    files = {
        "config.json": '{"model_type": "llama"}',
        "model.safetensors": "weights",
        "tokenizer.json": "{}",
        "tokenizer_config.json": "{}",
        "chat_template.jinja": "{{ messages }}",
    }
    folder.mkdir(parents=True)
    for name, content in {**files, **(changes or {})}.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder
