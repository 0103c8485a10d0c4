"""Answers label requests: one forward pass a row, and the shared beginning of rows only once.

Judge prompts begin alike: instructions and constitution first, then the prompt, then the
response. Rows are sorted by their token ids, so those that share most come together, and the
longest common beginning of a batch is run once and its keys and values are repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from spa.api import LabelResult

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["LabelRow", "common_prefix", "label_batches", "supports_prefix"]


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label request with its place in the call, rendered prompt and label token ids."""

    place: int
    prompt_ids: list[int]
    label_ids: tuple[int, ...]


def supports_prefix(model: PreTrainedModel) -> bool:
    """Whether keys and values of a prefix may be repeated: full attention in all layers."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    return kinds <= {"full_attention"} and getattr(config, "sliding_window", None) is None


def common_prefix(ordered: Sequence[list[int]]) -> int:
    """Length of the common beginning of rows in lexicographic order, at least one token short.

    In a sorted list the first and the last row differ first.
    """
    first, last = ordered[0], ordered[-1]
    limit = min(len(row) for row in ordered) - 1
    length = 0
    while length < limit and first[length] == last[length]:
        length += 1
    return length


def label_batches(
    model: PreTrainedModel, pad: int, rows: Sequence[LabelRow], batch_size: int
) -> Iterator[tuple[int, LabelResult]]:
    """Yields (place, result) batch by batch."""
    ordered = sorted(rows, key=lambda row: row.prompt_ids)
    share = supports_prefix(model)
    for start in range(0, len(ordered), batch_size):
        batch = ordered[start : start + batch_size]
        prefix = common_prefix([row.prompt_ids for row in batch]) if share and len(batch) > 1 else 0
        logits_BV = _last_logits(model, pad, [row.prompt_ids for row in batch], prefix)
        logprobs_BV = logits_BV.float().log_softmax(-1)
        for row, logprobs in zip(batch, logprobs_BV, strict=True):
            wanted = logprobs[list(row.label_ids)].double()
            yield (
                row.place,
                LabelResult(
                    logprobs=tuple(wanted.tolist()),
                    mass=min(float(wanted.exp().sum()), 1.0),
                    prompt_tokens=len(row.prompt_ids),
                ),
            )


@torch.inference_mode()
def _last_logits(
    model: PreTrainedModel, pad: int, rows: Sequence[list[int]], prefix: int
) -> torch.Tensor:
    """Logits (B, V) after the last token of every row.

    What follows the prefix is padded on the left; positions are given, so padding shifts nothing.
    """
    device = model.device
    cache = None
    if prefix:
        cache = DynamicCache(config=model.config)
        model(
            input_ids=torch.tensor([rows[0][:prefix]], device=device),
            past_key_values=cache,
            logits_to_keep=1,
        )
        cache.batch_repeat_interleave(len(rows))
    rest = [row[prefix:] for row in rows]
    width = max(len(row) for row in rest)
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros((len(rows), prefix + width), dtype=torch.long)
    mask[:, :prefix] = 1
    for i, row in enumerate(rest):
        ids[i, width - len(row) :] = torch.tensor(row)
        mask[i, prefix + width - len(row) :] = 1
    positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, prefix:]
    output = model(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        position_ids=positions.to(device),
        past_key_values=cache,
        use_cache=cache is not None,
        logits_to_keep=1,
    )
    logits: torch.Tensor = output.logits[:, -1]
    return logits
