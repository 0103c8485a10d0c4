"""Rows of a stage read beside the prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.engine.joining import Beside


def beside(names: str) -> Beside[tuple[str, int]]:
    return Beside([(name, place) for place, name in enumerate(names)], lambda row: row[0])


@given(st.lists(st.integers(0, 3), max_size=8))
def test_every_prompt_gets_its_rows_in_their_order(counts: list[int]) -> None:
    prompts = [chr(ord("a") + i) for i in range(len(counts))]
    rows = beside("".join(name * count for name, count in zip(prompts, counts, strict=True)))
    found = [rows.of(name) for name in prompts]
    assert [len(each) for each in found] == counts
    assert [name for each in found for name, _ in each] == [
        name for name, count in zip(prompts, counts, strict=True) for _ in range(count)
    ]
    assert [place for each in found for _, place in each] == list(range(sum(counts)))
    rows.end()


def test_rows_that_come_out_of_order_are_a_fault() -> None:
    rows = beside("ba")
    assert [rows.of(name) for name in "ab"] == [(), [("b", 0)]]
    with pytest.raises(AssertionError, match="rows of prompt 'a' come out of order"):
        rows.end()
