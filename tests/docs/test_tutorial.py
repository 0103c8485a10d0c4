"""The tutorial works: its files are written out, found as a plugin, and its tests pass."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from spa.plugins.catalogue import Catalogue, build_catalogue

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "write-a-judge.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL
)
FILES = {title: body for _, title, body in BLOCKS if title}


def forget_modules() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "my_rubric"]:
        del sys.modules[name]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plugin as pip would leave it: its package and its metadata on the path."""
    for title, body in FILES.items():
        file = tmp_path / title.removeprefix("src/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(body, encoding="utf-8")
    (tmp_path / "my_rubric" / "__init__.py").touch()
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    metadata = tmp_path / "my_rubric-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"]["spa.plugins"]
    lines = [f"{name} = {module}" for name, module in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[spa.plugins]", *lines, ""]))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    forget_modules()


@pytest.fixture
def catalogue(plugin: Path) -> Catalogue:
    return build_catalogue("")


def run_tests(source: str, names: dict[str, object]) -> int:
    """Runs the functions ``test_...`` of a text and counts them."""
    exec(compile(source, str(PAGE), "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    for test in tests:
        test()
    return len(tests)


def test_judge_and_plugin_have_about_forty_lines() -> None:
    python = [body for title, body in FILES.items() if title.startswith("src/")]
    lines = [line for body in python for line in body.splitlines() if line.strip()]
    assert len(lines) <= 40


def test_judge_is_found(catalogue: Catalogue) -> None:
    found = catalogue.resolve("judge", "words")
    assert found.qualified == "my-rubric/words"


def test_tests_of_the_tutorial_pass(plugin: Path) -> None:
    assert run_tests(FILES["tests/test_words.py"], {}) == 2


def test_snippet_of_the_recipe_fits_the_config(catalogue: Catalogue) -> None:
    [snippet] = [body for language, _, body in BLOCKS if language == "yaml"]
    recipe = YAML(typ="safe").load(snippet)
    settings = {key: value for key, value in recipe["judge"].items() if key != "use"}
    config = catalogue.resolve("judge", recipe["judge"]["use"]).load_config_class()
    assert set(config(**settings).words) == {each["name"] for each in recipe["objectives"]}


def test_judge_that_asks_works() -> None:
    judge, test = [body for language, title, body in BLOCKS if language == "python" and not title]
    assert run_tests(judge + test, {}) == 1
