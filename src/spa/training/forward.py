"""Log-probabilities of responses: the one place where training runs the model.

`Forward` is the seam: whatever way tokens are laid out, it returns one row of token
log-probabilities a response. Each unique response is forwarded once, however many pairs it is in,
and where the model allows it each prompt is forwarded once for all its responses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from spa.models.packing import FLEX_BLOCK, Kernel, attention_inputs, kernel_attention
from spa.models.unwrapping import forward_parameters, unwrapped
from spa.training.head import response_head, token_collisions, token_logprobs
from spa.training.layout import Layout, Part, pack, unpack

__all__ = ["Forward", "ResponseLogprobs", "forwarding"]


@dataclass(frozen=True, slots=True)
class ResponseLogprobs:
    """Log-probabilities of R responses of at most T tokens.

    Attributes:
        logprobs: (R, T) natural log-probability of each response token, fp32, 0 at padding.
        mask: (R, T) 1 for response tokens.
        collision: (R, T) log of the sum of squared probabilities, without gradient; None unless
            asked for.
    """

    logprobs: torch.Tensor
    mask: torch.Tensor
    collision: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """One way to run a causal language model on prompts with their responses.

    Attributes:
        pad_id: Any valid token id.
        kernel: How packed rows are attended to; None: a row for each response.
        chunked_head: Whether the head runs over chunks of response tokens. Where it does not, all
            logits are computed, and kept for the backward pass.
        implementation: The attention implementation that the model came with.
    """

    pad_id: int
    kernel: Kernel | None = None
    chunked_head: bool = True
    implementation: str = "sdpa"

    def __call__(
        self, model: Any, parts: Sequence[Part], *, collision: bool = False
    ) -> ResponseLogprobs:
        """Runs the model once.

        Args:
            model: The model inside `forwarding`, with whatever wrappers; gradients flow to it.
            parts: At least one; rows of the result are their responses, in order.
            collision: Whether to return `ResponseLogprobs.collision`.
        """
        layout = self._layout(parts).to(_device(model))
        inputs: dict[str, Any] = {"input_ids": layout.input_ids, "use_cache": False}
        if layout.attention_mask is not None:
            inputs["attention_mask"] = layout.attention_mask
        if "position_ids" in forward_parameters(unwrapped(model)):
            inputs["position_ids"] = layout.position_ids
        if self.kernel is not None:
            device = layout.input_ids.device
            inputs |= attention_inputs(layout.tree, self.kernel, self.implementation, device)
        if self.chunked_head:
            values, squares = model(
                **inputs, predicting=layout.predicting, labels=layout.labels, collision=collision
            )
        else:
            logits = model(**inputs).logits.flatten(0, 1)[layout.predicting]
            values = token_logprobs(logits, layout.labels)
            squares = token_collisions(logits) if collision else None
        return ResponseLogprobs(
            layout.table(values), layout.mask, None if squares is None else layout.table(squares)
        )

    def _layout(self, parts: Sequence[Part]) -> Layout:
        if self.kernel is None:
            return unpack(parts, self.pad_id)
        return pack(parts, FLEX_BLOCK if self.kernel == "flex" else 1, self.pad_id)


@contextmanager
def forwarding(model: Any, forward: Forward) -> Iterator[None]:
    """Prepares a model for a `Forward`, and puts it back at the end.

    Args:
        model: The model, with or without a PEFT adapter.
        forward: What will run it.
    """
    plain = unwrapped(model)
    with ExitStack() as stack:
        stack.enter_context(kernel_attention(plain, forward.kernel))
        if forward.chunked_head:
            stack.enter_context(response_head(plain))
        yield


def _device(model: Any) -> torch.device:
    device: torch.device = next(model.parameters()).device
    return device
