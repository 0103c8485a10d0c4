"""Attention over packed rows: every response sees its prompt and itself, and nothing else does.

Three ways to the same result:

- ``segments``: one plain attention for each prompt and one for each response over prompt and
  itself. Computes nothing that the mask would hide, so it is the fastest on a CPU.
- ``flex``: FlexAttention with a block mask, compiled by transformers. For accelerators.
- ``dense``: an (L, L) mask for the attention that the model has. For models whose attention does
  more than the scaled dot product (a soft cap, sinks).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn.functional import scaled_dot_product_attention

from spa.training.layout import Layout, Span

__all__ = ["FLEX_BLOCK", "Kernel", "attention_inputs", "kernel_attention", "visible"]

Kernel = Literal["segments", "flex", "dense"]
FLEX_BLOCK = 128
"""Rows for FlexAttention are this long, or a multiple of it."""

_SEGMENTS = "spa_segments"


def attention_inputs(layout: Layout, kernel: Kernel, implementation: str) -> dict[str, Any]:
    """What the model's forward needs to see the layout's structure.

    Args:
        layout: A packed layout, on the model's device.
        kernel: Which way.
        implementation: The attention implementation that the model came with.
    """
    if kernel == "segments":
        return {"packed": _Segments(layout.spans, _masks(layout))}
    if kernel == "flex":
        return {"attention_mask": _block_mask(layout)}
    allowed = visible(layout)
    if implementation == "eager":  # adds its mask to the attention scores
        lowest = torch.finfo(torch.float32).min
        return {"attention_mask": torch.where(allowed, 0.0, lowest)[None, None]}
    return {"attention_mask": allowed[None, None]}


@contextmanager
def kernel_attention(model: Any, kernel: Kernel | None) -> Iterator[None]:
    """Switches a transformers model to a kernel, and back at the end.

    Args:
        model: The causal language model itself, without wrappers.
        kernel: None changes nothing, nor does ``dense``.
    """
    before = model.config._attn_implementation
    wanted = {"segments": _SEGMENTS, "flex": "flex_attention"}.get(kernel or "", before)
    if kernel == "segments":
        from transformers import AttentionInterface

        AttentionInterface.register(_SEGMENTS, _segment_attention)
    if wanted != before:
        model.set_attn_implementation(wanted)
    try:
        yield
    finally:
        if wanted != before:
            model.set_attn_implementation(before)


def visible(layout: Layout) -> torch.Tensor:
    """(L, L) whether the token of a row may see that of a column. Padding sees padding."""
    part_L, response_L = _membership(layout)
    place_L = torch.arange(len(part_L), device=part_L.device)
    allowed_LL: torch.Tensor = _may_see(
        part_L[:, None], part_L, response_L[:, None], response_L, place_L[:, None], place_L
    )
    return allowed_LL


def _may_see(part_q: Any, part_k: Any, response_q: Any, response_k: Any, q: Any, k: Any) -> Any:
    """The rule: the same part, not later, and of the prompt or of the same response."""
    return (part_q == part_k) & (q >= k) & ((response_k == 0) | (response_q == response_k))


def _membership(layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
    """(L,) number of the part, and (L,) number of the response in it, 0 for its prompt."""
    length = layout.input_ids.shape[1]
    part_L = torch.full((length,), -1)
    response_L = torch.zeros(length, dtype=torch.long)
    for number, span in enumerate(layout.spans):
        end = span.responses[-1][1]
        part_L[span.start : end] = number
        for place, (first, last) in enumerate(span.responses, start=1):
            response_L[first:last] = place
    device = layout.input_ids.device
    return part_L.to(device), response_L.to(device)


def _block_mask(layout: Layout) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    part_L, response_L = _membership(layout)

    def may_see(_batch: Any, _head: Any, q: Any, k: Any) -> Any:
        return _may_see(part_L[q], part_L[k], response_L[q], response_L[k], q, k)

    length = len(part_L)
    device = str(part_L.device)
    return create_block_mask(may_see, None, None, length, length, device, BLOCK_SIZE=FLEX_BLOCK)


@dataclass(frozen=True, slots=True)
class _Segments:
    """What ``segments`` needs in every layer.

    Attributes:
        spans: Where each part lies.
        masks: For each part what its responses see: (T, prompt + T), cut to size for each.
    """

    spans: tuple[Span, ...]
    masks: tuple[torch.Tensor, ...]


def _segment_attention(
    module: Any,  # noqa: ARG001  # transformers' calling convention
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001  # the same
    dropout: float = 0.0,
    scaling: float | None = None,
    packed: _Segments | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """(1, heads, L, D) to (1, L, heads, D), part by part.

    Raises:
        NotImplementedError: If the model asks for more than a scaled dot product.
    """
    for name in ("softcap", "s_aux", "position_bias"):
        if others.get(name) is not None:
            raise NotImplementedError(f"it has no {name}")
    if packed is None:
        raise NotImplementedError("no layout reached the attention")
    shared = query.shape[1] != key.shape[1]  # grouped queries
    settings: dict[str, Any] = {"dropout_p": dropout, "scale": scaling, "enable_gqa": shared}
    out = []
    for span, mask in zip(packed.spans, packed.masks, strict=True):
        prompt = slice(span.start, span.prompt_end)
        key_P, value_P = key[:, :, prompt], value[:, :, prompt]
        out.append(
            scaled_dot_product_attention(
                query[:, :, prompt], key_P, value_P, is_causal=True, **settings
            )
        )
        for first, last in span.responses:
            own = slice(first, last)
            size = last - first
            out.append(
                scaled_dot_product_attention(
                    query[:, :, own],
                    torch.cat([key_P, key[:, :, own]], 2),
                    torch.cat([value_P, value[:, :, own]], 2),
                    attn_mask=mask[:size, : key_P.shape[2] + size],
                    **settings,
                )
            )
    spare = query.shape[2] - packed.spans[-1].responses[-1][1]
    if spare:
        out.append(value.new_zeros(*query.shape[:2], spare, value.shape[3]))
    return torch.cat(out, 2).transpose(1, 2).contiguous(), None


def _masks(layout: Layout) -> tuple[torch.Tensor, ...]:
    device = layout.input_ids.device
    masks = []
    for span in layout.spans:
        longest = max(last - first for first, last in span.responses)
        prompt = span.prompt_end - span.start
        columns = torch.arange(prompt + longest, device=device)
        rows = torch.arange(longest, device=device)[:, None]
        masks.append(columns <= rows + prompt)
    return tuple(masks)
