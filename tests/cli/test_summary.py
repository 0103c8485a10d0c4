"""What the end of a run says, from its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spa.cli import console
from spa.cli.summary import print_summary

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    console.out.cache_clear()


def stage(name: str, **details: Any) -> dict[str, Any]:
    asked = {"asked": 0, "replayed": 0}
    return {"name": name, "rows": 21, "details": {**asked, **details}}


def manifest(**changes: Any) -> dict[str, Any]:
    """Of a run whose judge asks no model."""
    whole = {
        "funnels": [],
        "metrics": [],
        "stages": [],
        "recipe": {"judge": {"backend": None}, "evaluate": []},
        "outputs": {"kind": "adapter", "path": "../store/train-1/adapter"},
        "policy_parameters": None,
    }
    return {**whole, **changes}


def printed(capsys: Captured, **changes: Any) -> list[str]:
    print_summary(Path("runs/r"), manifest(**changes))
    return [line for line in capsys.readouterr().out.splitlines() if line]


def test_unscored_responses_are_told_with_their_reasons(capsys: Captured) -> None:
    stages = [
        stage("judge", unscored={"unparsable": 2, "low_label_mass": 1}),
        stage("judge-refined", unscored={}),
        stage("judge-answers-base", unscored={"unparsable": 4}),
    ]
    assert printed(capsys, stages=stages)[:-3] == [
        "Note: responses without a score: 3 of 21 in judge (1 low_label_mass, 2 unparsable), 4 of "
        "21 in judge-answers-base (4 unparsable). They are in no pair, and a missing score is in "
        "no mean."
    ]


@pytest.mark.parametrize(
    ("kind", "name", "title"), [("adapter", "adapter", "Adapter: "), ("full", "model", "Model:   ")]
)
def test_it_ends_with_the_result_and_the_next_command(
    capsys: Captured, kind: str, name: str, title: str
) -> None:
    outputs = {"kind": kind, "path": f"../store/train-1/{name}"}
    assert printed(capsys, outputs=outputs) == [
        f"{title}runs/store/train-1/{name}",
        "Run:     runs/r/run.json",
        "Next:    spa export runs/r --format merged --output merged-model",
    ]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [(134_515_008, "135 million parameters"), (21_000, "less than a million parameters")],
)
def test_a_small_model_that_judges_itself_is_named_as_one(
    capsys: Captured, parameters: int, said: str
) -> None:
    found = printed(capsys, stages=[stage("judge", asked=4)], policy_parameters=parameters)
    assert found[1] == (
        f"Note: a judge of {said} carries little signal. These scores show that the pipeline "
        "works, not that the model got better."
    )
