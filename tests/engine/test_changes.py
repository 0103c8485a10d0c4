"""What differs, leaf by leaf."""

from __future__ import annotations

from typing import Any

import pytest

from spa.engine.changes import changes, told


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 0}}, {"a": {"b": 0.7}}, ["a.b: 0 -> 0.7"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["a.1: 2 -> 3"]),
        ({"a": [1]}, {"a": [1, 3]}, ["a: [1] -> [1, 3]"]),
        ({"a": None}, {"a": {"b": 1}}, ["a: null -> {'b': 1}"]),
        ({}, {"a": "x"}, ["a: null -> x"]),
        ({"a": True}, {"a": 1}, ["a: true -> 1"]),
        ({"a": "x\n" * 99}, {"a": "y"}, [f"a: {'x ' * 28}x... -> y"]),
    ],
)
def test_leaves(old: Any, new: Any, said: list[str]) -> None:
    assert [str(change) for change in changes(old, new)] == said


def test_of_many_the_first_are_told() -> None:
    found = list(changes({str(i): 0 for i in range(12)}, {str(i): 1 for i in range(12)}))
    assert told(found, most=2) == "  0: 0 -> 1\n  1: 0 -> 1\n  and 10 more"
