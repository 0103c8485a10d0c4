"""Answers label requests: one forward pass a row, and the shared beginning of rows only once.

Judge prompts begin alike: instructions and constitution first, then the prompt, then the
response. Rows that begin alike are batched together where that saves computing, those of like
length side by side, and the longest common beginning of a batch is run once and its keys and
values are repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from spa.api import LabelResult

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["LabelRow", "common_prefix", "families", "label_batches", "supports_prefix"]

BATCH_COST = 256  # tokens that could be run in the time that starting one more batch takes
LEVELS = 32  # branchings looked at one below the other, so that no rows exhaust the stack


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


def common_prefix(rows: Sequence[list[int]]) -> int:
    """Length of the common beginning of rows, at least one token shorter than each.

    In lexicographic order the first and the last row differ first.
    """
    first, last = min(rows), max(rows)
    limit = min(len(row) for row in rows) - 1
    length = 0
    while length < limit and first[length] == last[length]:
        length += 1
    return length


def families(rows: Sequence[LabelRow], batch_size: int) -> list[list[LabelRow]]:
    """Rows to batch together, each family ordered by length so that batches need little padding.

    All rows share the chat template's header, those of one judge its constitution, those of one
    prompt even more: families are split as long as the longer shared beginning saves more tokens
    than the additional batches cost.
    """
    found = _split(rows, batch_size, LEVELS)
    return [_by_length(family) for family in found]


def _by_length(rows: Sequence[LabelRow]) -> list[LabelRow]:
    return sorted(rows, key=lambda row: len(row.prompt_ids))


def _split(rows: Sequence[LabelRow], batch_size: int, levels: int) -> list[list[LabelRow]]:
    prefix = common_prefix([row.prompt_ids for row in rows])
    branches: dict[int, list[LabelRow]] = {}
    for row in rows:
        branches.setdefault(row.prompt_ids[prefix], []).append(row)
    if levels == 0 or len(branches) == 1:
        return [list(rows)]
    apart: list[list[LabelRow]] = []
    together: list[LabelRow] = []
    for branch in branches.values():
        parts = _split(branch, batch_size, levels - 1)
        staying = len(branch) * ((prefix + BATCH_COST) / batch_size - prefix)
        if sum(_cost(part, batch_size) for part in parts) < staying:
            apart += parts
        else:
            together += branch
    return [*apart, together] if together else apart


def _cost(family: Sequence[LabelRow], batch_size: int) -> int:
    """Tokens run for a family, less the constant sum of its rows' lengths."""
    prefix = common_prefix([row.prompt_ids for row in family])
    batches = math.ceil(len(family) / batch_size)
    return batches * (prefix + BATCH_COST) - len(family) * prefix


def label_batches(
    model: PreTrainedModel, pad: int, rows: Sequence[LabelRow], batch_size: int
) -> Iterator[tuple[int, LabelResult]]:
    """Yields (place, result) batch by batch."""
    share = supports_prefix(model)
    groups = families(rows, batch_size) if share else [_by_length(rows)]
    batches = [
        family[start : start + batch_size]
        for family in groups
        for start in range(0, len(family), batch_size)
    ]
    for batch in batches:
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
