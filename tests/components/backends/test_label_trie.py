"""Prompts that begin alike, laid out as one row."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spa.components.backends.label_trie import fitting, pack_prompts
from spa.models.packing import Segment, visible

prompts = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=12)


def trie_size(rows: Any) -> int:
    return len({tuple(row[:n]) for row in rows for n in range(1, len(row) + 1)})


def test_a_row_as_documented() -> None:
    packed = pack_prompts([[1, 1, 2, 3], [1, 1, 2, 4, 5], [1, 1, 6], [7]], multiple=5, pad_id=9)
    assert packed.input_ids == [1, 1, 2, 3, 4, 5, 6, 7, 9, 9]
    assert packed.position_ids == [0, 1, 2, 3, 3, 4, 2, 0, 0, 0]
    assert packed.ends == [3, 5, 6, 7]
    assert packed.tree.length == 10
    assert packed.tree.segments == (
        Segment(0, 2, 7),
        Segment(2, 3, 6),
        Segment(3, 4, 4),
        Segment(4, 6, 6),
        Segment(6, 7, 7),
        Segment(7, 8, 8),
    )


def test_a_prompt_may_begin_another_and_may_come_twice() -> None:
    packed = pack_prompts([[1, 2], [1, 2], [1, 2, 3]])
    assert packed.input_ids == [1, 2, 3]
    assert packed.ends == [1, 1, 2]


@given(prompts, st.sampled_from([1, 4]))
def test_every_end_sees_its_prompt_and_every_token_stands_once(rows: Any, multiple: int) -> None:
    rows = sorted(rows)
    packed = pack_prompts(rows, multiple)
    allowed = visible(packed.tree)
    for end, row in zip(packed.ends, rows, strict=True):
        seen = allowed[end].nonzero().flatten().tolist()
        assert [packed.input_ids[place] for place in seen] == row
        assert [packed.position_ids[place] for place in seen] == list(range(len(row)))
    size = trie_size(rows)
    assert packed.tree.segments[-1].end == size
    assert len(packed.input_ids) == packed.tree.length == -(-size // multiple) * multiple


@given(prompts, st.integers(1, 30), st.integers(1, 12))
def test_what_is_packed_together_fits_and_is_half_full_at_least(
    rows: Any, tokens: int, most: int
) -> None:
    rows = sorted(rows)
    count = fitting(rows, tokens, most)
    assert 1 <= count <= min(most, len(rows))
    assert count == 1 or trie_size(rows[:count]) <= tokens
    fits = max(n for n in range(1, len(rows) + 1) if n == 1 or trie_size(rows[:n]) <= tokens)
    full = min(fits, most)
    assert 2 * trie_size(rows[:count]) >= trie_size(rows[:full])
    assert full < len(rows) or count == full


def test_a_row_ends_where_little_is_shared() -> None:
    rows = [[1, 2, 3, n] for n in range(4)] + [[1, 9, 9, n] for n in range(4)]
    assert fitting(rows, 11, 100) == 4  # six would fit, but then two of 1, 9, 9 would be repeated
    assert fitting(rows, 6, 100) == 3
    assert fitting(rows, 100, 6) == 4
    assert fitting(rows, 100, 100) == 8
