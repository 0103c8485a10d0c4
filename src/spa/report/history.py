"""What training wrote down at its steps, read from the store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spa.engine.stored_run import StoredRun

__all__ = ["curves_of", "step_means"]


def curves_of(run: StoredRun) -> dict[int, Sequence[Mapping[str, float]]]:
    """Round to the metrics of its steps; rounds whose training is not in the store are left out."""
    found: dict[int, Sequence[Mapping[str, float]]] = {}
    for record in run.manifest.get("stages") or ():
        if record["name"] == "train" and "folder" in record:
            steps = _steps(run, str(record["folder"]))
            if steps:
                found[record["round"]] = steps
    return found


def step_means(run: StoredRun, names: Sequence[str]) -> dict[str, float]:
    """Metrics averaged over all steps of all rounds, each step as much as it has pairs.

    Returns:
        Nothing if a step lacks one of them.
    """
    steps = [step for steps in curves_of(run).values() for step in steps]
    total = sum(step.get("pairs", 1.0) for step in steps)
    if not total or any(name not in step for step in steps for name in names):
        return {}
    return {
        name: sum(step[name] * step.get("pairs", 1.0) for step in steps) / total for name in names
    }


def _steps(run: StoredRun, folder: str) -> list[Mapping[str, float]]:
    if folder in ("", "..") or folder != Path(folder).name:  # the run may be a stranger's
        return []
    try:
        text = (run.store / folder / "result.json").read_text(encoding="utf-8")
        history: Any = json.loads(text).get("history")
    except (OSError, ValueError, AttributeError):
        return []
    if not isinstance(history, list):
        return []
    return [
        {key: value for key, value in step.items() if isinstance(value, int | float)}
        for step in history
        if isinstance(step, Mapping) and isinstance(step.get("step"), int | float)
    ]
