"""A run under way: its manifest is good to read, and it can be a trial on a few prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from spa.engine.pipeline import run_recipe
from spa.recipe import Recipe
from spa.types import RunEvent


def test_the_manifest_has_every_stage_that_is_done(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    seen: dict[str, list[str]] = {}

    def listen(event: RunEvent) -> None:
        if event.kind == "stage_started":
            manifest = json.loads((tmp_path / "runs" / "one" / "run.json").read_text("utf-8"))
            assert manifest["status"] == "running"
            seen[str(event.stage)] = [each["name"] for each in manifest["stages"]]

    result = run_recipe(
        recipe(),
        runs=tmp_path / "runs",
        name="one",
        listen=listen,
        first=1,
        training=False,
    )
    assert seen["prompts"] == []
    assert seen["judge-refined"] == ["prompts", "sample", "judge", "refine"]
    assert "train" not in seen
    stages = {each["name"]: each["rows"] for each in result.manifest["stages"]}
    assert list(stages)[-1] == "judge-answers-base"
    assert stages["prompts"] == 2  # one to train on, one held out
    assert stages["sample"] == 3
    assert stages["answer-base"] == 1
    assert result.manifest["outputs"] == {}
