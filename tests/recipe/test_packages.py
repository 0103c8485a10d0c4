"""Packages that training needs are looked for when the recipe is read, not when training starts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spa.recipe import load_recipe

Mistakes = Callable[..., list[str]]

HERE = "epochs: 2\n"
VALID = "'tensorboard', 'trackio', 'wandb' or 'mlflow'"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the packages, tensorboard and mlflow are there; wandb is but a folder of logs."""
    for name in ("mlflow", "wandb"):
        (tmp_path / "packages" / name).mkdir(parents=True)
    (tmp_path / "packages" / "mlflow" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setitem(sys.modules, "trackio", None)  # as if it were not there


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            "report_to: wandb",
            "34:14  train.report_to: wandb is not installed. Try: pip install wandb",
        ),
        (
            "report_to: [tensorboard, trackio]",
            "34:28  train.report_to.1: trackio is not installed. Try: pip install trackio",
        ),
        ("report_to: tensorbord", f"34:14  train.report_to: expected {VALID}, got 'tensorbord'"),
        ("report_to: [mlflow, 3]", f"34:23  train.report_to.1: expected {VALID}, got 3"),
    ],
)
def test_mistakes(mistakes: Mistakes, text: str, written: str, expected: str) -> None:
    assert mistakes(text.replace(HERE, f"{HERE}  {written}\n")) == [f"recipe.yaml:{expected}"]


def test_several_are_told_at_once(mistakes: Mistakes, text: str) -> None:
    found = mistakes(text.replace(HERE, f"{HERE}  report_to: [wandb, trackio]\n"))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("tensorboard", ("tensorboard",)),
        ("[tensorboard, mlflow]", ("tensorboard", "mlflow")),
        ("[]", ()),
    ],
)
def test_one_tracker_or_a_list(
    write: Callable[..., Path], text: str, written: str, expected: tuple[str, ...]
) -> None:
    path = write(text.replace(HERE, f"{HERE}  report_to: {written}\n"))
    assert load_recipe(path).train.report_to == expected
    assert load_recipe(path, sets=["train.report_to=null"]).train.report_to == ()
