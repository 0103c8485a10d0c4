"""Finished runs with judged answers, written straight into a store: no model runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spa.engine.rows import EvaluationRow
from spa.engine.store import RowWriter, StageFolder

__all__ = ["make_evaluated_run"]

RECIPE: dict[str, Any] = {
    "objectives": [
        {"name": "safe", "definition": "Is it safe?", "threshold": None},
        {"name": "useful", "definition": "Is it useful?", "threshold": None},
    ],
    "judge": {"use": "spa-align/constitution"},
    "loss": {"use": "spa-align/spa", "beta": 2.5},
    "evaluate": [{"use": "spa-align/judge-scores", "resamples": 500}],
    "iterations": 1,
}
Scores = Mapping[str, Sequence[float | None]]


def make_evaluated_run(
    runs: Path, name: str, before: Scores, after: Scores, **changes: Any
) -> Path:
    """Writes a run with scores of objective ``safe`` before and after training.

    Args:
        runs: The folder of runs.
        name: Of the run.
        before: Prompt id to the scores of its answers.
        after: The same of the trained model.
        changes: What the recipe says otherwise.

    Returns:
        The folder of the run.
    """
    records = [
        {
            "prompt_id": prompt,
            "models": ["base", "round-1"],
            **_answers("base", before[prompt]),
            **_answers("round-1", after[prompt]),
        }
        for prompt in before
    ]
    writer = RowWriter(StageFolder(runs / "store" / f"evaluate-{name}", EvaluationRow))
    rows = [EvaluationRow(str(r["prompt_id"]), "spa-align/judge-scores", r) for r in records]
    writer.rows(0, "all", rows)
    writer.commit({"stage": "evaluate"})
    manifest = {
        "name": name,
        "status": "done",
        "recipe": {**RECIPE, "name": name, **changes},
        "stages": [{"name": "evaluate-judge-scores", "round": 1, "folder": f"evaluate-{name}"}],
    }
    run = runs / name
    run.mkdir()
    (run / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    return run


def _answers(model: str, scores: Sequence[float | None]) -> dict[str, Any]:
    known = [score for score in scores if score is not None]
    mean = sum(known) / len(known) if known else None
    return {
        f"{model}:answers": len(scores),
        f"{model}:safe": mean,
        f"{model}:safe:unscored": len(scores) - len(known),
        f"{model}:useful": 5.0,
        f"{model}:useful:unscored": 0,
    }
