"""Generates with transformers' own `generate`: the way for models whose cache is their own affair.

Recurrent models, short sliding windows and the like. Only prompts of one length share a batch, so
there is no padding, whose effect on such models would have to be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers import LogitsProcessorList

from spa.components.backends.sampling import RowSampler

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spa.components.backends.hf_chat import ChatRow

__all__ = ["generate_plainly"]


def generate_plainly(
    model: PreTrainedModel, rows: Sequence[ChatRow], stop_ids: frozenset[int]
) -> list[tuple[int, ...]]:
    """What is generated for each row, its end token included if there is one.

    Args:
        model: In evaluation mode; its generation config names the end tokens.
        rows: Whose prompts are of one length.
        stop_ids: Tokens that end a row.
    """
    requests = [row.request for row in rows]
    sampler = RowSampler(
        [request.temperature for request in requests],
        [request.top_p for request in requests],
        [request.seed or 0 for request in requests],
    )
    ids = torch.tensor([row.prompt_ids for row in rows], device=model.device)
    with torch.inference_mode():
        output = model.generate(  # type: ignore[operator]  # mixed in at run time
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max(request.max_tokens for request in requests),
            do_sample=False,
            logits_processor=LogitsProcessorList([sampler]),
        )
    new: list[list[int]] = output[:, ids.shape[1] :].tolist()
    return [
        _cut(tokens[: request.max_tokens], stop_ids)
        for tokens, request in zip(new, requests, strict=True)
    ]


def _cut(tokens: list[int], stop_ids: frozenset[int]) -> tuple[int, ...]:
    end = next((i for i, token in enumerate(tokens) if token in stop_ids), len(tokens) - 1)
    return tuple(tokens[: end + 1])
