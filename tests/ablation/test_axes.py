"""What ``--swap`` and ``--set`` say of an ablation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spa.ablation.axes import Axis, read_axes, split_values
from spa.errors import UsageError
from spa.recipe.reading import read_text
from spa.recipe.tree import Place, plain


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.5,1,2", ["0.5", "1", "2"]),
        ("[1, 2],[3]", ["[1, 2]", "[3]"]),
        ("{a: [1, 2], b: 3}, null", ["{a: [1, 2], b: 3}", "null"]),
        ("'a, b',c", ["'a, b'", "c"]),
        ("['a]', \"b,\"],c", ["['a]', \"b,\"]", "c"]),
        ("don't,it's", ["don't", "it's"]),
        ("a=b", ["a=b"]),
        ("", [""]),
    ],
)
def test_commas_separate_values_outside_of_brackets_and_quotes(text, values) -> None:
    assert split_values(text) == values


plain_values = st.recursive(
    st.integers() | st.booleans() | st.none() | st.sampled_from(["x", "'a, b'", '"[c,"', "d-e"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(map(str, items))}]"),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(plain_values.map(lambda v: "null" if v is None else str(v)), min_size=1))
def test_each_value_is_read_as_an_item_of_a_list_would_be(texts) -> None:
    place = Place("--set", folder=Path())
    whole, problems = read_text(f"[{', '.join(texts)}]", place)
    assert not problems
    parts = [read_text(part, place)[0] for part in split_values(",".join(texts))]
    assert [plain(part) for part in parts] == plain(whole)


def test_axes_keep_their_order_and_seeds_are_known() -> None:
    axes = read_axes(["loss=spa,dpo"], ["train.epochs=2", "train.seed=1,2"])
    assert axes == (
        Axis("swap", "loss", ("spa", "dpo")),
        Axis("set", "train.epochs", ("2",)),
        Axis("set", "train.seed", ("1", "2")),
    )
    assert [axis.varies for axis in axes] == [True, False, True]
    assert [axis.is_seed for axis in axes] == [False, False, True]


@pytest.mark.parametrize(
    ("swaps", "sets", "message"),
    [
        (["loss"], [], "--swap loss: write it as KEY=VALUE,VALUE, for example: --swap loss=spa,"),
        ([], ["=1"], "--set =1: write it as KEY=VALUE,VALUE, for example: --set loss.alpha=0.5,1"),
        (
            ["loss=spa", "loss=dpo,ipo"],
            [],
            "--swap loss=... is given twice. Give all its values at once: --swap loss=spa,dpo,ipo",
        ),
        ([], ["a.b=1,,2"], "--set a.b=1,,2: a value between two commas is missing."),
        ([], ["a.b=1,2,1"], "--set a.b=1,2,1: 1 is there twice. Leave one out."),
        ([], ["a.b=[1,2"], r"--set a.b=\[1,2: \] is missing at the end."),
        ([], ["a.b='x"], "--set a.b='x: ' is missing at the end."),
    ],
)
def test_mistakes(swaps, sets, message) -> None:
    with pytest.raises(UsageError, match=message):
        read_axes(swaps, sets)
