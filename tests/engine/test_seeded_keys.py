"""Keys of many requests, hashed together, are those of each."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spa.engine.answers import SeededKeys, request_key
from spa.types import ChatRequest, LabelRequest, Message

NASTY = '","seed":null,"prefill":"'
TEXT = st.sampled_from(["", "Hi", NASTY, f'{NASTY}"}}', "\u2028\\", '"seed":null'])


@given(
    texts=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4),
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4),
)
def test_a_key_is_that_of_the_request(texts: list[tuple[str, str]], seeds: list[int]) -> None:
    keys = SeededKeys()
    for text, prefill in texts:
        bare = ChatRequest((Message("user", text),), 8, 0.5, 0.9, None, prefill)
        for seed in seeds:
            request = replace(bare, seed=seed)
            assert keys.of(bare, request) == request_key(request)
            assert keys.of(request, request) == request_key(request)
    label = LabelRequest((Message("user", NASTY),), ("1", "2"))
    assert keys.of(label, label) == request_key(label)
