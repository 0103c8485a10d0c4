"""Answers chat requests with transformers: left-padded batches, longest prompts first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import LogitsProcessorList

from spa.api import ChatRequest, ChatResult
from spa.components.backends.sampling import RowSampler

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["ChatRow", "generate_batches"]


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A chat request with its place in the call and its rendered prompt."""

    place: int
    request: ChatRequest
    prompt_ids: list[int]


def generate_batches(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[ChatRow],
    batch_size: int,
    stop_ids: frozenset[int],
) -> Iterator[tuple[int, ChatResult]]:
    """Yields (place, result) batch by batch.

    Rows of like token limit and prompt length share a batch; the largest batch comes first, so
    that memory that does not suffice shows at once.
    """
    ordered = sorted(rows, key=lambda r: (r.request.max_tokens, len(r.prompt_ids)), reverse=True)
    for start in range(0, len(ordered), batch_size):
        batch = ordered[start : start + batch_size]
        for row, ids in zip(batch, _generate(model, tokenizer, batch), strict=True):
            yield row.place, _result(tokenizer, row, ids, stop_ids)


def _generate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: Sequence[ChatRow]
) -> list[list[int]]:
    """Returns the new tokens of every row, up to the batch's largest token limit."""
    width = max(len(row.prompt_ids) for row in batch)
    pad = int(tokenizer.pad_token_id)
    ids = torch.full((len(batch), width), pad)
    mask = torch.zeros((len(batch), width), dtype=torch.long)
    for i, row in enumerate(batch):
        ids[i, width - len(row.prompt_ids) :] = torch.tensor(row.prompt_ids)
        mask[i, width - len(row.prompt_ids) :] = 1
    requests = [row.request for row in batch]
    sampler = RowSampler(
        [r.temperature for r in requests],
        [r.top_p for r in requests],
        [r.seed or 0 for r in requests],
    )
    with torch.inference_mode():
        output = model.generate(  # type: ignore[operator]  # mixed in at run time
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=max(r.max_tokens for r in requests),
            do_sample=False,
            logits_processor=LogitsProcessorList([sampler]),
        )
    new: list[list[int]] = output[:, width:].tolist()
    return new


def _result(
    tokenizer: PreTrainedTokenizerBase, row: ChatRow, ids: list[int], stop_ids: frozenset[int]
) -> ChatResult:
    """Cuts a row at its end token, which it keeps, or at its own token limit."""
    kept = ids[: row.request.max_tokens]
    end = next((i for i, token in enumerate(kept) if token in stop_ids), None)
    if end is not None:
        kept = kept[: end + 1]
    return ChatResult(
        text=str(tokenizer.decode(kept, skip_special_tokens=True)).strip(),
        token_ids=tuple(kept),
        finish_reason="length" if end is None else "stop",
        prompt_tokens=len(row.prompt_ids),
    )
