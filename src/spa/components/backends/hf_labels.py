"""Answers label requests: every token that their prompts share is computed once.

The rows are sorted, cut into packed rows that fit into memory, and read off after one forward pass
each (`label_trie`, `label_forward`).
"""

from __future__ import annotations

import gc
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spa.api import LabelResult, RequestFailure
from spa.components.backends.label_forward import label_logprobs, packable, packed_kernel
from spa.components.backends.label_trie import fitting
from spa.components.backends.memory import is_out_of_memory

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spa.models.packing import Kernel

__all__ = ["LabelRow", "label_batches"]

logger = logging.getLogger(__name__)

LOGITS = 1 << 26
"""Most logits of one forward pass: 256 MiB in fp32."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label request with its place in the call, rendered prompt and label token ids."""

    place: int
    prompt_ids: list[int]
    label_ids: tuple[int, ...]


def label_batches(
    model: PreTrainedModel, pad: int, rows: Sequence[LabelRow], batch_size: int
) -> Iterator[tuple[int, LabelResult | RequestFailure]]:
    """Yields (place, result) as packed rows are through.

    Where memory does not suffice, half as much is tried at a time, for the rest of the call; a row
    that does not fit by itself is a failure.

    Args:
        model: With or without a PEFT adapter.
        pad: Any valid token id.
        rows: At least one.
        batch_size: Packed rows hold as many tokens as so many of the longest prompt would.
    """
    ordered = sorted(rows, key=lambda row: row.prompt_ids)
    longest = max(len(row.prompt_ids) for row in rows)
    whole = packable(model, longest)
    together = [row for row in ordered if whole or packable(model, len(row.prompt_ids))]
    kernel = packed_kernel(model) if together else None
    if kernel is None:
        together = []
    packed = {row.place for row in together}
    tokens = batch_size * longest
    most = max(1, LOGITS // int(model.config.get_text_config().vocab_size))
    while together:
        count = fitting([row.prompt_ids for row in together], tokens, most)
        done = _run(model, pad, together[:count], kernel)
        if done is None and count > 1:
            tokens, most = tokens // 2, max(1, most // 2)
            logger.warning("memory does not suffice: judging with half as much at a time")
            continue
        yield from done or _too_large(together[0])
        together = together[count:]
    for row in ordered:
        if row.place not in packed:
            yield from _run(model, pad, [row], None) or _too_large(row)


def _run(
    model: PreTrainedModel, pad: int, rows: Sequence[LabelRow], kernel: Kernel | None
) -> list[tuple[int, LabelResult | RequestFailure]] | None:
    """Results of some rows; None if memory did not suffice."""
    prompts, labels = [row.prompt_ids for row in rows], [row.label_ids for row in rows]
    try:
        found = label_logprobs(model, prompts, labels, kernel, pad)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        found = None
    if found is None:  # here, where no traceback holds tensors any more
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None
    return [(row.place, _result(row, logs)) for row, logs in zip(rows, found, strict=True)]


def _result(row: LabelRow, logprobs: Sequence[float]) -> LabelResult:
    return LabelResult(
        logprobs=tuple(logprobs),
        mass=min(math.fsum(map(math.exp, logprobs)), 1.0),
        prompt_tokens=len(row.prompt_ids),
    )


def _too_large(row: LabelRow) -> list[tuple[int, LabelResult | RequestFailure]]:
    message = (
        f"memory does not suffice to judge with a prompt of {len(row.prompt_ids):,} tokens, even "
        "by itself. Shorten the prompt, or take a smaller model or dtype."
    )
    return [(row.place, RequestFailure("out_of_memory", message))]
