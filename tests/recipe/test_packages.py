"""Packages that training needs are looked for when the recipe is read, not when training starts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from spa.recipe import load_recipe, packages
from spa.recipe.sections import TrainConfig

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
    for name in ("bitsandbytes", "trackio"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not there


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
        (
            "quantization: nf4",
            "34:17  train.quantization: quantised weights need bitsandbytes, which is not "
            "installed. Try: pip install bitsandbytes",
        ),
    ],
)
def test_mistakes(mistakes: Mistakes, text: str, written: str, expected: str) -> None:
    assert mistakes(text.replace(HERE, f"{HERE}  {written}\n")) == [f"recipe.yaml:{expected}"]


def test_several_are_told_at_once(mistakes: Mistakes, text: str) -> None:
    found = mistakes(text.replace(HERE, f"{HERE}  report_to: [wandb, trackio]\n"))
    assert len(found) == 2


def test_quantised_weights_need_an_adapter(mistakes: Mistakes, text: str) -> None:
    text = text.replace("lora: {r: 4}", "lora: null\n  quantization: int8")
    assert mistakes(text) == [
        "recipe.yaml:35:17  train.quantization: int8 weights cannot be trained themselves, only an "
        "adapter on them. Set train.lora, or quantization to null"
    ]


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


def test_an_old_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainConfig(quantization="nf4")
    monkeypatch.setattr(packages, "_is_installed", lambda _name: True)
    monkeypatch.setattr(packages, "version", lambda _name: "0.45.0")
    assert list(packages.missing_packages(settings)) == [
        (
            ("quantization",),
            "bitsandbytes 0.45.0 is installed, 0.46.1 or later is needed. "
            "Try: pip install --upgrade bitsandbytes",
        )
    ]
    monkeypatch.setattr(packages, "version", lambda _name: "0.46.1")
    assert list(packages.missing_packages(settings)) == []

    def unknown(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "version", unknown)
    assert list(packages.missing_packages(settings)) == []
