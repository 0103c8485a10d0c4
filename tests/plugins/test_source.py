"""The hash of a component's source: what changes it, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from spa.plugins.catalogue import build_catalogue
from spa.plugins.component import Component
from spa.plugins.registered import Registered
from spa.plugins.source import same_source, source_hash

JUDGE = '''
"""A judge."""
from theirs.parsing import number
from . import config

class Judge:
    """Scores."""

    def score(self, prompt, response, objectives):
        # A comment.
        return number(response) + 1
'''
FILES = {
    "__init__.py": "",
    "judge.py": JUDGE,
    "parsing.py": "def number(text):\n    return 1\n",
    "config.py": "LIMIT = 3\n",
    "loss.py": "def loss():\n    return 0\n",
    "plugin.py": "REVISION = 1\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def registered() -> Registered:
    component = Component(
        name="mine", impl="theirs.judge:Judge", config="theirs.config:Config", summary="Scores"
    )
    return Registered(component, "judge", "theirs", "their-plugin", "0.1")


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("judge.py", "+ 1", "+ 2", True),
        ("parsing.py", "return 1", "return 2", True),  # imported by the judge
        ("config.py", "LIMIT = 3", "LIMIT = 4", True),
        ("judge.py", "# A comment.", "# Another comment, longer.", False),
        ("judge.py", '"""Scores."""', '"""Scores a response."""', False),
        ("judge.py", "number(response) + 1", "( number(response)   + 1 )", False),
        ("loss.py", "return 0", "return 1", False),  # another component's
        ("plugin.py", "REVISION = 1", "REVISION = 2", False),
    ],
)
def test_what_changes_the_hash(package: Path, file: str, old: str, new: str, changes: bool) -> None:
    before = source_hash(registered())
    assert before is not None
    content = (package / file).read_text(encoding="utf-8")
    assert old in content
    (package / file).write_text(content.replace(old, new), encoding="utf-8")
    after = source_hash(registered())
    assert (after != before) == changes
    assert same_source(before, after) == (not changes)


def test_nothing_is_imported_for_it(package: Path) -> None:
    (package / "__init__.py").write_text("raise SystemExit\n", encoding="utf-8")
    assert source_hash(registered())


def test_a_component_without_source_has_no_hash() -> None:
    component = Component(name="x", impl="no_such_module:A", config="no_such_module:B", summary="")
    assert source_hash(Registered(component, "judge", "x", "x", "1")) is None


def test_what_cannot_be_told_apart_counts_as_the_same() -> None:
    assert same_source(None, "3.11:a")
    assert same_source("3.11:a", "3.12:b")
    assert not same_source("3.11:a", "3.11:b")


def test_built_in_components_have_hashes_of_their_own() -> None:
    losses = [each for each in build_catalogue("none").components() if each.kind == "loss"]
    hashes = {source_hash(each) for each in losses}
    assert None not in hashes
    assert len(hashes) > 1
