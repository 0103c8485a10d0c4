from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.recipe.reading import MOST_DEPTH, read_file, read_text
from spa.recipe.tree import Mapping, Node, Place, find, plain

TOP = Place("r.yaml", 1, 1)


def read(text: str) -> tuple[object, list[str]]:
    node, problems = read_text(text, TOP)
    return None if node is None else plain(node), [str(problem) for problem in problems]


def place(node: Node | None, *path: str | int) -> tuple[int, int]:
    assert node is not None
    value, _, taken = find(node, path)
    assert taken == path
    return value.place.line, value.place.column


def test_values_and_places() -> None:
    text = "# about\na: 1e-5\nb:\n  - yes\n  - {c: 'x', d: [1, 2]}\n"
    node, problems = read_text(text, TOP)
    assert problems == []
    assert node is not None
    assert plain(node) == {"a": 1e-5, "b": ["yes", {"c": "x", "d": [1, 2]}]}
    assert place(node, "a") == (2, 4)
    assert place(node, "b") == (4, 3)
    assert place(node, "b", 1, "d", 1) == (5, 21)
    assert isinstance(node, Mapping)
    assert (node.entries["b"].place.line, node.entries["b"].place.column) == (3, 1)


def test_quoted_values_are_text() -> None:
    assert read("a: '5'\nb: \"true\"\nc: |\n  x\n") == ({"a": "5", "b": "true", "c": "x\n"}, [])


def test_keys_are_text() -> None:
    assert read("1: a\ntrue: b\n") == ({"1": "a", "true": "b"}, [])


def test_every_duplicate_key_is_reported() -> None:
    value, problems = read("a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n")
    assert value == {"a": 1, "b": {"c": 1}}
    assert problems == [
        "r.yaml:2:11  b.c: duplicate key, already on line 2. Keep one of them",
        "r.yaml:3:1  a: duplicate key, already on line 1. Keep one of them",
        "r.yaml:4:1  a: duplicate key, already on line 1. Keep one of them",
    ]


def test_alias() -> None:
    assert read("a: &x {b: 1}\nc: *x\n") == ({"a": {"b": 1}, "c": {"b": 1}}, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: *x\n", "r.yaml:1:4  a: the alias '*x' has no anchor '&x' above it"),
        ("a: &x [*x]\n", "r.yaml:1:8  a.0: the alias '*x' repeats what it stands in"),
        (
            "a: !path x\n",
            "r.yaml:1:4  a: the tag '!path' is not allowed: recipes hold plain values only. "
            "Leave it out",
        ),
        (
            "a: !!python/object/apply:os.system [x]\n",
            "r.yaml:1:4  a: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not "
            "allowed: recipes hold plain values only. Leave it out",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "r.yaml:2:1  a second YAML document ('---'). A recipe file holds one",
        ),
        ("? [a]\n: b\n", "r.yaml:1:3  a key must be text"),
        (
            "a: &x {b: 1}\nc: {<<: *x}\n",
            "r.yaml:2:5  c: merge keys ('<<') are not part of YAML 1.2. Use 'extends' to inherit",
        ),
        (
            "a:\n\tb: 1\n",
            "r.yaml:2:1  not valid YAML: a tab at the beginning of a line. Indent with spaces",
        ),
        (
            "a: b: c\n",
            "r.yaml:1:5  not valid YAML: mapping values are not allowed here. "
            "A text with ': ' in it needs quotes",
        ),
        (
            "a: [1\nb: 2\n",
            "r.yaml:2:2  not valid YAML: expected ',' or ']', but got ':' "
            "(while parsing a flow sequence that began on line 1)",
        ),
        ("a: \x00b", "r.yaml:1:1  not valid YAML: the character U+0000 is not allowed in it"),
        ('a: "\\ud800"', "r.yaml:1:4  a: half of a surrogate pair is not a character"),
    ],
)
def test_mistakes(text: str, problem: str) -> None:
    _, problems = read(text)
    assert problems == [problem]


def test_aliases_cannot_unfold_without_end() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 12):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    value, problems = read("\n".join(lines))
    assert value is None
    assert len(problems) == 1
    assert problems[0].endswith(
        ": more than 100000 values, with everything that aliases (*name) repeat"
    )


def test_depth_is_bounded() -> None:
    value, problems = read("a: " + "[" * 300 + "]" * 300)
    assert value is None
    assert problems == [
        f"r.yaml:1:{4 + MOST_DEPTH}  more than {MOST_DEPTH} levels inside each other"
    ]


@given(st.text(max_size=40))
def test_any_text_gives_a_tree_or_problems(text: str) -> None:
    node, problems = read_text(text, TOP)
    assert node is not None or problems
    assert all(problem.message for problem in problems)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "r.yaml:1:1  the recipe is empty. It needs at least: objectives, model, prompts"),
        (
            b"# x\n",
            "r.yaml:1:1  the recipe is empty. It needs at least: objectives, model, prompts",
        ),
        (b"- a\n", "r.yaml:1:1  a recipe is a mapping (key: value), this file holds a list"),
        (b"abc\n", "r.yaml:1:1  a recipe is a mapping (key: value), this file holds 'abc'"),
        (b"a: \xff\n", "r.yaml  not UTF-8 text (byte 4). Save the file as UTF-8"),
    ],
)
def test_files_that_are_no_recipe(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    node, problems = read_file(path, "r.yaml")
    assert node is None
    assert [str(problem) for problem in problems] == [message]


def test_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    node, problems = read_file(path, "r.yaml")
    assert problems == []
    assert place(node, "a") == (1, 4)


def test_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").touch()
    _, problems = read_file(tmp_path / "quikstart.yaml", "quikstart.yaml")
    assert [str(problem) for problem in problems] == [
        "quikstart.yaml  no such file. Recipes in that folder: quickstart.yaml"
    ]


def test_folder(tmp_path: Path) -> None:
    _, problems = read_file(tmp_path, "recipes")
    assert [str(problem) for problem in problems] == [
        "recipes  this is a folder. Name the recipe file in it"
    ]


@pytest.mark.parametrize(
    "content",
    ["{" * 400, "? " * 600, "? [" * 300, "{? [a]: " * 200, "{a: " * 400],
    ids=["flow keys", "block keys", "lists as keys", "values of such keys", "values"],
)
def test_depth_is_limited_in_keys_too(content: str) -> None:
    node, problems = read_text(content, Place("r.yaml", 1, 1))
    assert node is None
    assert "more than 50 levels inside each other" in str(problems[-1])


def test_depth_is_limited_through_aliases() -> None:
    levels = ["a0: &a0 " + "[" * 40 + "]" * 40]
    levels += [f"a{i}: &a{i} " + "[" * 40 + f"*a{i - 1}" + "]" * 40 for i in range(1, 60)]
    node, problems = read_text("\n".join(levels), Place("r.yaml", 1, 1))
    assert node is None
    assert [str(problem) for problem in problems] == [
        "r.yaml:2:49  more than 50 levels inside each other"
    ]
