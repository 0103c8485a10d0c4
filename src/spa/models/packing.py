"""Attention over packed rows: sequences that begin alike share their beginning in one row.

A packed row holds the tokens of a tree (or of several) in preorder: a segment, then all that
continues it. Every token sees the segments that its own one continues, and itself::

    tokens      i0 i1 | c0 c1 c2 | a0 a1 | b0 b1 b2 | d0 d1      c continues i; a and b continue c
    positions    0  1 |  2  3  4 |  5  6 |  5  6  7 |  2  3      d continues i, too

Training packs a prompt with its responses, the `hf` backend judgements of one conversation.
Three ways to the same result:

- ``segments``: one plain attention for each segment over what it continues and itself. Computes
  nothing that the mask would hide, so it is the fastest on a CPU.
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

__all__ = [
    "FLEX_BLOCK",
    "Kernel",
    "Segment",
    "Tree",
    "attention_inputs",
    "kernel_attention",
    "kernels",
    "visible",
]

Kernel = Literal["segments", "flex", "dense"]
FLEX_BLOCK = 128
"""Rows for FlexAttention are this long, or a multiple of it."""

_SEGMENTS = "spa_segments"


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens of a packed row that follow one another in every sequence that they are in.

    Attributes:
        start: First token.
        end: One past the last; not ``start``.
        until: One past the last token of all that continues the segment; ``end`` if nothing does.
    """

    start: int
    end: int
    until: int


@dataclass(frozen=True, slots=True)
class Tree:
    """What continues what in a packed row of ``length`` tokens.

    Attributes:
        segments: In the order of the row, without gaps. A segment continues the one before it
            whose ``until`` it is not past.
        length: Of the row; what is past the last segment is padding.
    """

    segments: tuple[Segment, ...]
    length: int


def kernels(device: torch.device) -> tuple[Kernel, ...]:
    """The ways to try on a device, the fastest first."""
    return ("flex", "segments", "dense") if device.type == "cuda" else ("segments", "dense")


def attention_inputs(
    tree: Tree, kernel: Kernel, implementation: str, device: torch.device
) -> dict[str, Any]:
    """What the model's forward needs to see the structure of a packed row.

    Args:
        tree: The row.
        kernel: Which way.
        implementation: The attention implementation that the model came with.
        device: Of the model.
    """
    if kernel == "segments":
        return {"packed": _Segments(tree, _continued(tree), device)}
    if kernel == "flex":
        return {"attention_mask": _block_mask(tree, device)}
    allowed = visible(tree).to(device)
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


def visible(tree: Tree) -> torch.Tensor:
    """(L, L) whether the token of a row may see that of a column. Padding sees padding."""
    until_L = _until(tree)
    place_L = torch.arange(tree.length)
    allowed_LL: torch.Tensor = _may_see(place_L[:, None], place_L, until_L)
    return allowed_LL


def _may_see(q: Any, k: Any, until_k: Any) -> Any:
    """The rule, in preorder: not later, and among what continues the other token's segment."""
    return (q >= k) & (q < until_k)


def _until(tree: Tree) -> torch.Tensor:
    """(L,) one past the last token that sees each token."""
    until_L = torch.full((tree.length,), tree.length)
    for segment in tree.segments:
        until_L[segment.start : segment.end] = segment.until
    return until_L


def _block_mask(tree: Tree, device: torch.device) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    until_L = _until(tree).to(device)

    def may_see(_batch: Any, _head: Any, q: Any, k: Any) -> Any:
        return _may_see(q, k, until_L[k])

    length = tree.length
    return create_block_mask(
        may_see, None, None, length, length, str(device), BLOCK_SIZE=FLEX_BLOCK
    )


def _continued(tree: Tree) -> list[int]:
    """How many tokens each segment continues."""
    open_until: list[tuple[int, int]] = []
    counts = []
    for segment in tree.segments:
        while open_until and open_until[-1][0] <= segment.start:
            open_until.pop()
        before = open_until[-1][1] if open_until else 0
        counts.append(before)
        open_until.append((segment.until, before + segment.end - segment.start))
    return counts


class _Segments:
    """What ``segments`` needs in every layer.

    Attributes:
        tree: The row.
        masks: For each segment what its tokens see of what it continues and itself,
            (own, continued + own); None if it continues nothing.
    """

    __slots__ = ("masks", "tree")

    def __init__(self, tree: Tree, continued: list[int], device: torch.device) -> None:
        self.tree = tree
        sizes = [segment.end - segment.start for segment in tree.segments]
        own = max((n for n, before in zip(sizes, continued, strict=True) if before), default=0)
        most = max(continued, default=0)
        # All masks are cut from one: more of what is continued only adds columns on the left.
        columns = torch.arange(most + own, device=device)
        mask = columns <= torch.arange(own, device=device)[:, None] + most
        self.masks = tuple(
            mask[:size, most - before : most + size] if before else None
            for size, before in zip(sizes, continued, strict=True)
        )


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
    """(1, heads, L, D) to (1, L, heads, D), segment by segment.

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
    path: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    for segment, mask in zip(packed.tree.segments, packed.masks, strict=True):
        own = slice(segment.start, segment.end)
        key_S, value_S = key[:, :, own], value[:, :, own]
        while path and path[-1][0] <= segment.start:
            path.pop()
        if path:
            _, key_P, value_P = path[-1]
            key_S, value_S = torch.cat([key_P, key_S], 2), torch.cat([value_P, value_S], 2)
        out.append(
            scaled_dot_product_attention(
                query[:, :, own],
                key_S,
                value_S,
                attn_mask=mask,
                is_causal=mask is None,
                **settings,
            )
        )
        if segment.until > segment.end:
            path.append((segment.until, key_S, value_S))
    spare = query.shape[2] - packed.tree.segments[-1].end
    if spare:
        out.append(value.new_zeros(*query.shape[:2], spare, value.shape[3]))
    return torch.cat(out, 2).transpose(1, 2).contiguous(), None
