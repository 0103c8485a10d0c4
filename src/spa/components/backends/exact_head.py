"""Has a model in 16 bits say its last word in 32: the head's rounding is most of a label's error.

A logit of 20 in bfloat16 is rounded to a multiple of 1/8, whatever the hidden state behind it. So
for the few tokens after which labels are looked at, the head multiplies in float32. What a model
does with its logits afterwards, such as scaling or capping, is done with those.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["exact_head"]

_ROWS = 1 << 14  # of the head that are in float32 at a time


@contextmanager
def exact_head(model: PreTrainedModel) -> Iterator[None]:
    """Meanwhile the logits of a model are float32, from a multiplication in float32.

    A head that is more than one matrix, or is quantized, stays as it is.

    Args:
        model: A causal language model of transformers, without wrappers.
    """
    head = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.weight.dtype not in (
        torch.bfloat16,
        torch.float16,
    ):
        yield
        return
    handle = head.register_forward_hook(_in_float32)
    try:
        yield
    finally:
        handle.remove()


def _in_float32(
    head: torch.nn.Linear, inputs: tuple[torch.Tensor], _output: torch.Tensor
) -> torch.Tensor:
    """Logits (..., V) of hidden states (..., D)."""
    hidden = inputs[0].float()
    logits = torch.cat([hidden @ part.float().T for part in head.weight.split(_ROWS)], -1)
    bias: torch.Tensor | None = head.bias
    return logits if bias is None else logits + bias.float()
