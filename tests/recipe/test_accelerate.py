"""What would stop accelerate after hours of sampling is said when the recipe is read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spa.recipe.accelerate import accelerate_problem

Mistakes = Callable[..., list[str]]

HERE = "epochs: 2\n"
SHIPPED = Path(__file__).parents[2] / "recipes" / "accelerate"
ADVICE = "`accelerate config --config_file FILE` writes one"


@pytest.fixture(autouse=True)
def without_deepspeed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)


def test_a_missing_file_has_its_place(mistakes: Mistakes, text: str, tmp_path: Path) -> None:
    (found,) = mistakes(text.replace(HERE, f"{HERE}  accelerate: fsdp.yaml\n"))
    assert found.startswith("recipe.yaml:34:15  train.accelerate: there is no file ")
    assert found.endswith(f"fsdp.yaml. {ADVICE}")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            "name: run\n",
            f"is no configuration of accelerate: it says no distributed_type. {ADVICE}",
        ),
        ("a: [", f"is no configuration of accelerate: it says no distributed_type. {ADVICE}"),
        (
            "distributed_type: DEEPSPEED\n",
            "asks for DeepSpeed, which is not installed. Try: pip install deepspeed",
        ),
        ("distributed_type: FSDP\n", None),
    ],
)
def test_what_a_file_says(tmp_path: Path, content: str, problem: str | None) -> None:
    file = tmp_path / "accelerate.yaml"
    file.write_text(content, encoding="utf-8")
    assert accelerate_problem(str(file)) == (problem and f"{file} {problem}")


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    assert accelerate_problem(str(tmp_path)) == (
        f"{tmp_path} cannot be read: Is a directory. {ADVICE}"
    )


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("fsdp2*.yaml")), ids=lambda file: file.name)
def test_shipped_files_are_fine(file: Path) -> None:
    assert accelerate_problem(str(file)) is None
