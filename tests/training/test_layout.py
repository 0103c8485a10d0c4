"""Layouts, token by token, and what may see what."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spa.models.packing import FLEX_BLOCK, attention_inputs, visible
from spa.training.encoding import EncodedGroup
from spa.training.layout import Part, pack, unpack, whole


@pytest.fixture
def two(make: SimpleNamespace) -> list[Part]:
    return whole(
        [make.encoded([1, 2, 3], [[4, 5], [6]], [(0, 1)]), make.encoded([7], [[8, 9, 10]], [])]
    )


def test_packed_rows_are_laid_out_as_documented(two: list[Part]) -> None:
    layout = pack(two)
    assert layout.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3, 4, 3, 0, 1, 2, 3]]
    assert layout.predicting.tolist() == [2, 3, 2, 6, 7, 8]
    assert layout.labels.tolist() == [4, 5, 6, 8, 9, 10]
    assert layout.lengths == (2, 1, 3)
    assert layout.mask.tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 1]]
    assert [(s.start, s.prompt_end, s.responses) for s in layout.spans] == [
        (0, 3, ((3, 5), (5, 6))),
        (6, 7, ((7, 10),)),
    ]
    assert layout.table(torch.arange(1.0, 7.0)).tolist() == [[1, 2, 0], [3, 0, 0], [4, 5, 6]]


def test_unpacked_rows_are_laid_out_as_documented(two: list[Part]) -> None:
    layout = unpack(two, pad_id=0)
    assert layout.input_ids.tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 6, 0], [7, 8, 9, 10, 0]]
    assert layout.attention_mask is not None
    assert layout.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3, 4]] * 3
    assert layout.predicting.tolist() == [2, 3, 7, 10, 11, 12]
    assert layout.labels.tolist() == [4, 5, 6, 8, 9, 10]


def test_some_responses_of_a_prompt(make: SimpleNamespace) -> None:
    group = make.encoded([1, 2], [[3], [4, 5], [6]], [(0, 1)])
    layout = pack([Part(group, (1, 2))])
    assert layout.input_ids.tolist() == [[1, 2, 4, 5, 6]]
    assert layout.lengths == (2, 1)


tokens = st.lists(st.integers(0, 99), min_size=1, max_size=6).map(tuple)


@st.composite
def groups(draw: Any) -> EncodedGroup:
    rows = draw(st.lists(tokens, min_size=1, max_size=4))
    names = tuple(str(i) for i in range(len(rows)))
    scores = ((0.0,),) * len(rows)
    return EncodedGroup("p", draw(tokens), tuple(rows), names, scores, (), (), (), ())


@given(st.lists(groups(), min_size=1, max_size=4), st.sampled_from([1, 8]))
def test_every_token_sees_its_prompt_and_its_own_past(made: list[EncodedGroup], to: int) -> None:
    """What a token sees, in order, is exactly the sequence it would have alone."""
    layout = pack(whole(made), multiple=to)
    ids, allowed = layout.input_ids[0], visible(layout.tree)
    assert len(ids) % to == 0
    alone = [(*g.prompt, *r) for g in made for r in g.responses]
    owners = [(s, place) for s in layout.spans for place in s.responses]
    assert len(owners) == len(alone)
    for (span, (first, last)), sequence in zip(owners, alone, strict=True):
        for t in range(first, last):
            length = span.prompt_end - span.start + t - first + 1
            assert ids[allowed[t]].tolist() == list(sequence[:length])
            assert layout.position_ids[0, allowed[t]].tolist() == list(range(length))
    for span in layout.spans:
        for t in range(span.start, span.prompt_end):
            assert allowed[t].nonzero().flatten().tolist() == list(range(span.start, t + 1))
    assert allowed.any(-1).all()  # padding sees itself, so no row of the softmax is empty


@given(st.lists(groups(), min_size=1, max_size=4))
def test_predicting_places_stand_before_their_labels(made: list[EncodedGroup]) -> None:
    for layout in (pack(whole(made)), unpack(whole(made), 0)):
        ids = layout.input_ids.flatten()
        starts = {0, *torch.tensor(layout.lengths).cumsum(0).tolist()}
        for n, (place, label) in enumerate(
            zip(layout.predicting.tolist(), layout.labels.tolist(), strict=True)
        ):
            if n not in starts or layout.attention_mask is not None:
                assert ids[place + 1] == label


@given(st.lists(groups(), min_size=1, max_size=4), st.sampled_from([1, 8]))
def test_trap_12_positions_count_from_the_prompt_and_padding_is_on_the_right(
    made: list[EncodedGroup], to: int
) -> None:
    alone = [(*g.prompt, *r) for g in made for r in g.responses]
    padded = unpack(whole(made), 0)
    assert padded.attention_mask is not None
    for row, sequence in enumerate(alone):
        length = len(sequence)
        assert padded.input_ids[row, :length].tolist() == list(sequence)
        assert padded.position_ids[row, :length].tolist() == list(range(length))
        assert padded.attention_mask[row].tolist() == [
            int(column < length) for column in range(padded.input_ids.shape[1])
        ]
    packed = pack(whole(made), multiple=to)
    assert packed.attention_mask is None
    owners = [(span, place) for span in packed.spans for place in span.responses]
    for (span, (first, last)), sequence in zip(owners, alone, strict=True):
        places = [*range(span.start, span.prompt_end), *range(first, last)]
        assert packed.input_ids[0, places].tolist() == list(sequence)
        assert packed.position_ids[0, places].tolist() == list(range(len(sequence)))
    tokens = sum(len(g.prompt) + sum(map(len, g.responses)) for g in made)
    assert max(last for _, (_, last) in owners) == tokens  # what is added stands after it


def test_the_block_mask_of_flex_attention_is_the_same_rule(two: list[Part]) -> None:
    from torch.nn.attention.flex_attention import create_mask

    layout = pack(two, FLEX_BLOCK, pad_id=99)
    assert layout.input_ids.shape == (1, FLEX_BLOCK)
    block = attention_inputs(layout.tree, "flex", "sdpa", torch.device("cpu"))["attention_mask"]
    dense = create_mask(block.mask_mod, 1, 1, FLEX_BLOCK, FLEX_BLOCK, "cpu")[0, 0]
    assert torch.equal(dense, visible(layout.tree))
