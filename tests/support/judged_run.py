"""Runs whose samples two judges scored, written straight into a store: no model runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spa.engine.rows import JudgedRow
from spa.engine.store import RowWriter, StageFolder
from spa.types import Response, Score

__all__ = ["make_judged_run", "sample_ids"]

OBJECTIVES = [
    {"name": "safe", "definition": "Is it safe?", "threshold": None},
    {"name": "useful", "definition": "Is it useful?", "threshold": None},
]
Scores = Mapping[str, Sequence[float | None]]


def sample_ids(prompts: int, samples: int) -> list[str]:
    """Ids of samples, prompt by prompt."""
    return [f"p{prompt:03}/s{sample}" for prompt in range(prompts) for sample in range(samples)]


def make_judged_run(
    runs: Path, name: str, *judges: Scores, samples: str = "sample-shared", **changes: Any
) -> Path:
    """Writes a run with a stage of judgements for each judge.

    Args:
        runs: The folder of runs.
        name: Of the run.
        judges: Sample id to its scores, None where there is none; several are members of a judge.
        samples: Folder of the stage of samples; written if it is not there.
        changes: What the recipe says otherwise.

    Returns:
        The folder of the run.
    """
    if not (runs / "store" / samples).exists():
        _write(
            runs,
            samples,
            Response,
            [
                Response(f"Text {each} of {samples}", id=each, prompt_id=each.partition("/")[0])
                for each in judges[0]
            ],
        )
    titles = ["judge"] if len(judges) == 1 else [f"judge/{n}" for n in range(1, len(judges) + 1)]
    stages = [{"name": "sample", "round": 1, "folder": samples}]
    for number, (title, scores) in enumerate(zip(titles, judges, strict=True)):
        folder = f"judge-{name}-{number}"
        _write(runs, folder, JudgedRow, [_judged(*each) for each in scores.items()])
        stages.append({"name": title, "round": 1, "folder": folder})
    member = {"use": "spa-align/constitution"}
    judge: dict[str, Any] = member
    if len(judges) > 1:
        judge = {"use": "spa-align/ensemble", "members": [member] * len(judges)}
    recipe = {"name": name, "objectives": OBJECTIVES, "judge": judge, "denoise": [], **changes}
    folder_of_run = runs / name
    folder_of_run.mkdir(parents=True)
    manifest = {"name": name, "status": "done", "recipe": recipe, "stages": stages}
    (folder_of_run / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder_of_run


def _judged(sample: str, scores: Sequence[float | None]) -> JudgedRow:
    names = [str(each["name"]) for each in OBJECTIVES]
    return JudgedRow(
        sample,
        sample.partition("/")[0],
        {
            name: Score(value, None if value is not None else "low_label_mass")
            for name, value in zip(names, scores, strict=True)
        },
    )


def _write(runs: Path, folder: str, row_type: type, rows: Sequence[Any]) -> None:
    writer = RowWriter(StageFolder(runs / "store" / folder, row_type))
    writer.rows(0, "all", rows)
    writer.commit({"stage": folder})
