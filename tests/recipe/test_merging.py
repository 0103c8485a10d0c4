from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spa.recipe.merging import MOST_FILES, merge, read_chain
from spa.recipe.tree import Entry, Listing, Mapping, Node, Place, Scalar, find, leaves, plain

Write = Callable[..., Path]

BASE, OVER = Place("base.yaml", 1, 1), Place("over.yaml", 1, 1)

KEYS = st.sampled_from(["a", "b", "c", "use"])
VALUES = st.recursive(
    st.none() | st.integers(0, 3) | st.text("xy", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=4)


def tree(value: Any, place: Place) -> Node:
    if isinstance(value, dict):
        return Mapping({k: Entry(place, tree(v, place)) for k, v in value.items()}, place)
    if isinstance(value, list):
        return Listing(tuple(tree(item, place) for item in value), place)
    return Scalar(value, place)


def mapping(value: dict[str, Any], place: Place = BASE) -> Mapping:
    node = tree(value, place)
    assert isinstance(node, Mapping)
    return node


def merged(base: dict[str, Any], over: dict[str, Any]) -> Any:
    return plain(merge(mapping(base), mapping(over, OVER)))


def test_mappings_merge_and_everything_else_replaces() -> None:
    base = {"train": {"epochs": 1, "lora": {"r": 8, "alpha": 16}}, "denoise": [1, 2], "seed": 0}
    over = {"train": {"lora": {"r": 4}}, "denoise": [3], "name": "x"}
    assert merged(base, over) == {
        "train": {"epochs": 1, "lora": {"r": 4, "alpha": 16}},
        "denoise": [3],
        "seed": 0,
        "name": "x",
    }


def test_another_component_replaces_the_section() -> None:
    base = {"loss": {"use": "spa", "alpha": 2, "beta": 3}}
    assert merged(base, {"loss": {"use": "simpo", "beta": 2}}) == {
        "loss": {"use": "simpo", "beta": 2}
    }
    assert merged(base, {"loss": {"use": "spa", "beta": 2}}) == {
        "loss": {"use": "spa", "alpha": 2, "beta": 2}
    }
    assert merged(base, {"loss": {"beta": 2}}) == {"loss": {"use": "spa", "alpha": 2, "beta": 2}}


def test_null_undoes_what_stands_below_and_only_that() -> None:
    result = merge(mapping({"a": {"b": 1}}), mapping({"a": {"b": None, "c": None}}, OVER))
    b, _, _ = find(result, ("a", "b"))
    c, _, _ = find(result, ("a", "c"))
    assert isinstance(b, Scalar)
    assert isinstance(c, Scalar)
    assert (b.undoes, c.undoes) == (True, False)


@given(MAPPINGS)
def test_over_nothing_and_under_nothing(value: dict[str, Any]) -> None:
    assert merged({}, value) == value
    assert merged(value, {}) == value


@given(MAPPINGS)
def test_merging_with_itself_changes_nothing(value: dict[str, Any]) -> None:
    assert merged(value, value) == value


@given(MAPPINGS, MAPPINGS)
def test_what_is_written_above_wins(base: dict[str, Any], over: dict[str, Any]) -> None:
    result = merge(mapping(base), mapping(over, OVER))
    for path, leaf in leaves(mapping(over, OVER)):
        found, _, taken = find(result, path)
        assert taken == path
        assert isinstance(found, Scalar)
        assert (found.value, found.place) == (leaf.value, OVER)
    assert set(result.entries) == set(base) | set(over)


@given(MAPPINGS, MAPPINGS)
def test_every_value_comes_from_where_its_place_says(
    base: dict[str, Any], over: dict[str, Any]
) -> None:
    sources = {BASE: mapping(base), OVER: mapping(over, OVER)}
    for path, leaf in leaves(merge(sources[BASE], sources[OVER])):
        origin, _, taken = find(sources[leaf.place], path)
        assert taken == path
        assert plain(origin) == leaf.value


@given(MAPPINGS, MAPPINGS)
def test_neither_side_is_changed(base: dict[str, Any], over: dict[str, Any]) -> None:
    below, above = mapping(base), mapping(over, OVER)
    merge(below, above)
    assert (plain(below), plain(above)) == (base, over)


def test_chain(write: Write) -> None:
    write("a: 1\nb: 1\nc: 1\n", "deep/base.yaml")
    write("extends: base.yaml\nb: 2\nc: 2\n", "deep/middle.yaml")
    path = write("extends: deep/middle.yaml\nc: 3\n")
    read = read_chain(path)
    assert read.problems == ()
    assert read.files == ("recipe.yaml", "deep/middle.yaml", "deep/base.yaml")
    assert read.root is not None
    assert plain(read.root) == {"a": 1, "b": 2, "c": 3}
    places = {key: entry.node.place for key, entry in read.root.entries.items()}
    assert [(p.file, p.line, p.folder.name) for p in places.values()] == [
        ("deep/base.yaml", 1, "deep"),
        ("deep/middle.yaml", 2, "deep"),
        ("recipe.yaml", 2, Path.cwd().name),
    ]


def problems_of(path: Path) -> list[str]:
    read = read_chain(path)
    assert read.root is None
    return [str(problem) for problem in read.problems]


def test_circle(write: Write) -> None:
    write("extends: c.yaml\n", "b.yaml")
    write("extends: b.yaml\n", "c.yaml")
    path = write("extends: b.yaml\n", "a.yaml")
    assert problems_of(path) == [
        "c.yaml:1:10  extends: the recipes extend each other in a circle: "
        "b.yaml -> c.yaml -> b.yaml"
    ]


def test_extending_itself(write: Write) -> None:
    path = write("extends: recipe.yaml\n")
    assert problems_of(path) == [
        "recipe.yaml:1:10  extends: the recipes extend each other in a circle: "
        "recipe.yaml -> recipe.yaml"
    ]


def test_missing_base(write: Write) -> None:
    path = write("extends: ../base.yaml\n", "in/recipe.yaml")
    assert problems_of(path) == [
        "in/recipe.yaml:1:10  extends: no such recipe: base.yaml. The path is relative to the "
        "file that it is written in"
    ]


def test_base_of_a_wrong_type(write: Write) -> None:
    path = write("extends: [a.yaml, b.yaml]\n")
    assert problems_of(path) == [
        "recipe.yaml:1:10  extends: expected the path of one recipe, got a list"
    ]


def test_base_in_a_package_that_is_not_installed(write: Write) -> None:
    path = write("extends: package:no_such_package/r.yaml\n")
    assert problems_of(path) == [
        "recipe.yaml:1:10  extends: package 'no_such_package' is not installed. Install it with: "
        "pip install --no-deps no-such-package"
    ]


def test_very_long_chain(write: Write) -> None:
    for number in range(MOST_FILES + 2):
        write(f"extends: r{number + 1}.yaml\n", f"r{number}.yaml")
    assert problems_of(Path("r0.yaml")) == [
        f"r{MOST_FILES - 1}.yaml:1:10  extends: more than {MOST_FILES} recipes extend each other"
    ]


def test_problems_of_all_files_are_told(write: Write) -> None:
    write("b: 1\nb: 2\n", "base.yaml")
    read = read_chain(write("extends: base.yaml\na: 1\na: 2\n"))
    assert [str(problem) for problem in read.problems] == [
        "recipe.yaml:3:1  a: duplicate key, already on line 2. Keep one of them",
        "base.yaml:2:1  b: duplicate key, already on line 1. Keep one of them",
    ]
