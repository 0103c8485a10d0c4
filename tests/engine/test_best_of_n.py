"""A whole run that copies the best sample instead of refining."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spa.engine.pipeline import run_recipe
from spa.engine.store import StageFolder
from spa.recipe import Recipe
from spa.types import PreferencePair, Response


def test_the_copy_is_in_the_group_and_in_no_pair(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    result = run_recipe(recipe(["refine={use: best-of-n}"]), runs=tmp_path / "runs")
    folders = {stage["name"]: stage["folder"] for stage in result.manifest["stages"]}
    store = tmp_path / "runs" / "store"
    samples = {r.id: r for r in StageFolder(store / folders["sample"], Response).read()}
    copies = list(StageFolder(store / folders["refine"], Response).read())
    assert len(copies) == 7
    for copy in copies:
        original = samples[str(copy.details["sample"])]
        assert (copy.text, copy.token_ids) == (original.text, original.token_ids)
        assert (copy.origin, original.prompt_id) == ("refined", copy.prompt_id)
    pairs = list(StageFolder(store / folders["pairs"], PreferencePair).read())
    assert pairs
    assert not [pair for pair in pairs if "/r" in pair.chosen + pair.rejected]
