"""How prompts are divided."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.engine import dividing
from spa.errors import RunError
from spa.types import Message, Prompt


def divide(found: list[Prompt], heldout: int | None, seed: int) -> list[Prompt]:
    return list(dividing.divide(lambda: iter(found), heldout, seed))


def prompts(texts: list[str]) -> list[Prompt]:
    return [Prompt(f"p{i}", (Message("user", text),)) for i, text in enumerate(texts)]


@given(st.integers(1, 30), st.integers(0, 40), st.integers(0, 5))
def test_as_many_as_asked_are_held_out_whatever_the_order(n: int, heldout: int, seed: int) -> None:
    given_prompts = prompts([f"text {i}" for i in range(n)])
    if heldout >= n:
        with pytest.raises(RunError, match="none is left to train on"):
            divide(given_prompts, heldout, seed)
        return
    split = {p.id: p.split for p in divide(given_prompts, heldout, seed)}
    assert list(split.values()).count("heldout") == heldout
    assert {p.id: p.split for p in divide(given_prompts[::-1], heldout, seed)} == split


@given(st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=20), st.integers(1, 3))
def test_prompts_of_the_same_wording_fall_on_the_same_side(texts: list[str], heldout: int) -> None:
    try:
        divided = divide(prompts(texts), heldout, 0)
    except RunError as error:
        assert "those of the same wording stay on one side" in str(error)  # noqa: PT017
        return
    sides = {p.text: {q.split for q in divided if q.text == p.text} for p in divided}
    assert all(len(side) == 1 for side in sides.values())
    assert sum(p.split == "heldout" for p in divided) == heldout


def test_the_source_decides_where_the_recipe_does_not() -> None:
    marked = [Prompt("a", (), "heldout"), Prompt("b", ())]
    assert divide(marked, None, 0) == marked
    with pytest.raises(RunError, match="marks every prompt as held out"):
        divide(marked[:1], None, 0)


def test_ids_that_repeat_and_no_prompts_at_all() -> None:
    with pytest.raises(RunError, match="two prompts have the id 'a'"):
        divide([Prompt("a", ()), Prompt("a", ())], None, 0)
    with pytest.raises(RunError, match="the source of prompts is empty"):
        divide([], 1, 0)


def test_the_text_of_the_prompts_is_not_held_in_memory() -> None:
    """As far as the division goes; 1,000 prompts are of a megabyte here, and hashes of 24 bytes."""

    def many() -> Iterator[Prompt]:
        for i in range(1000):
            yield Prompt(f"p{i}", (Message("user", f"{i} " * 200_000),))

    tracemalloc.start()
    try:
        held = sum(prompt.split == "heldout" for prompt in dividing.divide(many, 100, 0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held == 100
    assert peak < 20e6
