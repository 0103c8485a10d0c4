"""The picture of the terminal: how it is drawn, and the one in the README."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOWN = ROOT / "docs" / "assets" / "quickstart.svg"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("picture", ROOT / "docs" / "tools" / "picture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def manifest() -> dict[str, Any]:
    asked = {"asked": 4, "replayed": 0, "prompt_tokens": 90, "new_tokens": 10}
    reasons = {"failure_reasons": {"timeout": 1}}
    stage = {"rows": 3, "failed": 1, "cached": False, "seconds": 2.0, **reasons}
    training = {"steps": 5, "last_step": {"loss": 0.25}}
    return {
        "name": "r-1",
        "stages": [
            {**stage, "name": "judge", "details": {**asked, "unscored": {"missing": 2}}},
            {**stage, "name": "train", "details": training},
        ],
        "funnels": [[{"name": "prompts", "prompts": 3, "lost": {"too_long": 1}, "pairs": None}]],
        "metrics": [],
        "outputs": {"kind": "adapter", "path": "../store/train-1/adapter"},
        "recipe": {"model": {"path": "/far/away"}, "judge": {"backend": None}, "evaluate": []},
        "recipe_file": "/far/away/recipe.yaml",
    }


def lines(svg: str) -> list[str]:
    """What can be read in a picture, line by line from top to bottom."""
    rows: dict[float, str] = {}
    for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        place = float(text.get("y", 0))
        rows[place] = f"{rows.get(place, '')} {text.text}".replace("\N{NO-BREAK SPACE}", " ")
    return [" ".join(row.split()) for row in rows.values() if row.strip()]


def test_it_shows_the_ladder_and_the_summary(tool: ModuleType) -> None:
    svg = tool.picture(manifest())
    read = lines(svg)
    assert "$ spa run recipes/quickstart.yaml" in read
    assert "\N{CHECK MARK} judge 4 1 50 2.0s 2 unscored" in read
    assert "\N{CHECK MARK} train 4 1 2.0s step 5/5, loss 0.250" in read
    assert "prompts 3 1 1 too_long" in read
    assert "Adapter: runs/store/train-1/adapter" in read
    assert "far" not in svg


def test_the_same_run_gives_the_same_picture(tool: ModuleType) -> None:
    assert tool.picture(manifest()) == tool.picture(manifest())


def test_the_picture_in_the_readme_is_small_and_names_no_path_of_a_machine() -> None:
    svg = SHOWN.read_text(encoding="utf-8")
    assert len(svg) < 100_000
    assert not re.search(r"/(work|tmp|root|home|Users)/|url\(.?http", svg)
    read = lines(svg)
    assert "$ spa run recipes/quickstart.yaml" in read
    assert read[-1].startswith("Next: spa export runs/quickstart-")
