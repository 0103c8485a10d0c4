"""A plugin's judge from one revision to the next: raw answers stay, drifted source is told of."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quick_model import QuickModel

from spa.engine.pipeline import run_recipe
from spa.engine.rows import JudgedRow
from spa.engine.store import StageFolder
from spa.plugins.component import Component
from spa.plugins.registered import Registered
from spa.recipe import Recipe

Load = Callable[..., Recipe]
SOURCE = """
from dataclasses import replace

from spa.components.judges.constitution import ConstitutionJudge


class TheirJudge(ConstitutionJudge):
    def score(self, prompt, response, objectives):
        scores = yield from super().score(prompt, response, objectives)
        return {
            name: replace(each, value=None if each.value is None else each.value * FACTOR)
            for name, each in scores.items()
        }
"""


def plugin(folder: Path, factor: int, comment: str = "") -> None:
    text = SOURCE.replace("FACTOR", str(factor)) + comment
    (folder / "their_judge.py").write_text(text, encoding="utf-8")
    sys.modules.pop("their_judge", None)
    importlib.invalidate_caches()


def judged_by(recipe: Recipe, revision: int) -> Recipe:
    component = Component(
        name="theirs",
        impl="their_judge:TheirJudge",
        config="spa.components.judges.configs:ConstitutionConfig",
        summary="Scores",
        revision=revision,
    )
    theirs = Registered(component, "judge", "theirs", "their-plugin", "0.1")
    return replace(recipe, judge=replace(recipe.judge, registered=theirs))


def judged(recipe: Recipe, tmp_path: Path) -> dict[str, Any]:
    manifest = run_recipe(recipe, runs=tmp_path / "runs", name="run").manifest
    (found,) = [each for each in manifest["stages"] if each["name"] == "judge"]
    return dict(found)


def values(record: dict[str, Any], tmp_path: Path) -> list[float | None]:
    rows = StageFolder(tmp_path / "runs" / "store" / record["folder"], JudgedRow).read()
    return [score.value for row in rows for score in row.scores.values()]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> QuickModel:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return QuickModel(monkeypatch)


def test_another_revision_of_a_judge_reads_the_same_answers_again(
    recipe: Load, tmp_path: Path, model: QuickModel
) -> None:
    plugin(tmp_path, 1)
    first = judged(judged_by(recipe(), 1), tmp_path)
    assert first["details"]["asked"] == 42
    plugin(tmp_path, 2)
    second = judged(judged_by(recipe(), 2), tmp_path)
    assert second["key"] != first["key"]
    assert (second["details"]["asked"], second["details"]["replayed"]) == (0, 42)
    one, two = values(first, tmp_path), values(second, tmp_path)
    assert two == [None if each is None else each * 2 for each in one]


def test_a_source_that_drifted_under_one_revision_is_told_of_and_changes_no_key(
    recipe: Load, tmp_path: Path, model: QuickModel, caplog: pytest.LogCaptureFixture
) -> None:
    del model
    caplog.set_level(logging.WARNING, logger="spa")
    plugin(tmp_path, 1)
    first = judged(judged_by(recipe(), 1), tmp_path)
    assert first["components"][0]["source"]
    plugin(tmp_path, 1, "\n# Only a comment.\n")
    judged(judged_by(recipe(), 1), tmp_path)
    assert not caplog.records

    plugin(tmp_path, 3)
    second = judged(judged_by(recipe(), 1), tmp_path)
    assert (second["key"], second["cached"]) == (first["key"], True)
    told = [record.getMessage() for record in caplog.records]
    assert [text.partition(":")[0] for text in told] == [
        "stage judge",
        "stage judge-refined",
        "stage judge-answers-base",
        "stage judge-answers-round-1",
    ]
    assert "judge 'theirs' (their-plugin 0.1) changed since these rows were made" in told[0]
    assert "its revision is still 1" in told[0]
    assert f"delete {tmp_path / 'runs' / 'store' / first['folder']}" in told[0]

    caplog.clear()
    raised = judged(judged_by(recipe(), 2), tmp_path)
    assert raised["key"] != first["key"]
    assert not caplog.records


def test_a_stage_that_goes_on_with_other_code_is_told_of(
    recipe: Load, tmp_path: Path, model: QuickModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="spa")
    plugin(tmp_path, 1)

    def interrupted(text: str) -> str | None:
        if "Is it safe?" in text and len(model.asked) > 30:
            raise KeyboardInterrupt
        return None

    model.fails = interrupted
    with pytest.raises(KeyboardInterrupt):
        judged(judged_by(recipe(), 1), tmp_path)
    assert list((tmp_path / "runs" / "store").glob("judge-*/sources.json"))
    model.fails = lambda _: None
    plugin(tmp_path, 3)
    record = judged(judged_by(recipe(), 1), tmp_path)
    (told,) = [each.getMessage() for each in caplog.records]
    assert told.startswith("stage judge: the source of judge 'theirs'")
    folder = tmp_path / "runs" / "store" / record["folder"]
    assert not (folder / "sources.json").exists()
    assert "judge:their-plugin/theirs" in StageFolder(folder, JudgedRow).info()["sources"]
