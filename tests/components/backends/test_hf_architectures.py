"""Greedy answers of many architectures: those of `generate`, whatever batch a row is in."""

from __future__ import annotations

import pytest
import torch
from tiny_architectures import ARCHITECTURES, make_architecture
from transformers import GenerationConfig

from spa.api import ChatRequest, Message
from spa.components.backends.hf_chat import (
    ChatRow,
    Ended,
    Room,
    generate_in_batches,
    generate_in_slots,
)
from spa.components.backends.slot_trial import longest_in_slots

STOPS = frozenset({256})
SHARED = tuple(range(3, 40))
PROMPTS = ((*SHARED, 7, 9), (*SHARED, 50, 51, 52, 53, 54), (200, 201, 202), (*SHARED, 7, 9))
# Those whose cache or positions are their own affair.
PLAIN = {"bloom", "falcon with alibi", "gpt-neo", "lfm2", "mamba", "qwen3-next"}
SHORT = {"gemma2, short window", "llama4, short chunks", "mistral, short window"}


def rows() -> list[ChatRow]:
    return [
        ChatRow(place, ChatRequest((Message("user", "-"),), max_tokens=limit, temperature=0.0), ids)
        for place, (ids, limit) in enumerate(zip(PROMPTS, (9, 12, 5, 7), strict=True))
    ]


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_greedy_answers_are_those_of_generate(name: str) -> None:
    torch.set_num_threads(1)
    # With linear attention alone, transformers' generate fails.
    changes = {"layer_types": ["linear_attention", "full_attention"]} if "next" in name else {}
    model = make_architecture(name, **changes)
    model.generation_config = GenerationConfig(eos_token_id=sorted(STOPS), pad_token_id=260)
    longest = longest_in_slots(model)
    found: dict[int, tuple[int, ...]] = {}
    for generate, fits in ((generate_in_slots, True), (generate_in_batches, False)):
        chosen = [row for row in rows() if (row.tokens <= longest) == fits]
        for ended in generate(model, chosen, Room(3, 1000), STOPS):
            assert isinstance(ended, Ended), ended
            found[ended.row.place] = ended.token_ids
    for row in rows():
        ids = torch.tensor([row.prompt_ids])
        plain = model.generate(ids, max_new_tokens=row.request.max_tokens, do_sample=False)
        assert found[row.place] == tuple(plain[0, ids.shape[1] :].tolist())
    assert (longest == 0) == (name in PLAIN)
    assert (longest == 8) == (name in SHORT)
