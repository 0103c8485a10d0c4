"""The language-model head, run over response tokens alone, a chunk of them at a time.

Logits are the largest tensor of preference training: vocabulary times tokens. Here they live for
one chunk. The backward pass computes each chunk again, so nothing of that size is kept between the
passes, and peak memory grows with the chunk. The log-sum-exp is fp32: a bf16 log-softmax errs by
up to 0.09 nats a token at a vocabulary of 128k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from spa.training.linear_head import linear_logprobs

__all__ = ["CHUNK_ELEMENTS", "response_head", "token_collisions", "token_logprobs"]

CHUNK_ELEMENTS = 1 << 23
"""Logits of one chunk: 32 MiB in fp32."""

Transform = Callable[[torch.Tensor], torch.Tensor]


@contextmanager
def response_head(model: Any, chunk_elements: int = CHUNK_ELEMENTS) -> Iterator[None]:
    """Teaches a causal language model to return log-probabilities of chosen tokens.

    Inside the context, ``model(..., predicting=places_N, labels=tokens_N, collision=False)`` gives
    (N,) log-probabilities, and (N,) log collision probabilities or None. A call without
    ``predicting`` is as before. It is the model's own forward that changes, so wrappers around
    the model (PEFT, sharding) work as they do for any other call.

    Args:
        model: The causal language model itself, without wrappers.
        chunk_elements: Most logits to hold at a time.
    """
    head = model.get_output_embeddings()
    transform = _transform(model.config.get_text_config())
    size = max(1, chunk_elements // int(model.config.get_text_config().vocab_size))
    plain, plain_head = model.forward, head.forward
    plain_linear = (
        type(head) is torch.nn.Linear
        and head.bias is None
        and transform is _unchanged
        and "forward" not in vars(head)  # weights that are moved in for each call
    )

    def forward(*args: Any, predicting: torch.Tensor | None = None, **inputs: Any) -> Any:
        if predicting is None:
            return plain(*args, **inputs)
        labels, collision = inputs.pop("labels"), inputs.pop("collision", False)
        # PEFT passes on arguments that nobody gave.
        given = {name: value for name, value in inputs.items() if value is not None}
        given.pop("return_dict", None)
        # Llama 4's text model names its body with a prefix that it does not have.
        body = model.base_model if model.base_model is not model else getattr(model, "model", model)
        if body is model:
            raise NotImplementedError("the model does not say which part of it the head reads")
        hidden = body(*args, **given).last_hidden_state
        return head(hidden.flatten(0, 1)[predicting], labels=labels, collision=collision)

    def forward_head(hidden: torch.Tensor, *args: Any, **given: Any) -> Any:
        # One call of the head for all chunks: a sharded head is gathered once around it.
        if "labels" not in given:
            return plain_head(hidden, *args, **given)

        if plain_linear and not given["collision"]:
            return linear_logprobs(hidden, head.weight, given["labels"], size), None

        def logits(part: torch.Tensor) -> torch.Tensor:
            return transform(plain_head(part))

        return _chunked(logits, hidden, size=size, **given)

    with _replaced(model, forward), _replaced(head, forward_head):
        yield


@contextmanager
def _replaced(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Another forward for one module, for a while."""
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


def _chunked(
    logits: Callable[[torch.Tensor], torch.Tensor],
    hidden_ND: torch.Tensor,
    *,
    labels: torch.Tensor,
    collision: bool,
    size: int,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(N,) log-probabilities of the (N,) labels, and (N,) log collision probabilities if asked."""

    def one(hidden: torch.Tensor, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = logits(hidden)
        logprobs = token_logprobs(found, chosen)
        return logprobs, token_collisions(found) if collision else logprobs.new_empty(0)

    parts = zip(hidden_ND.split(size), labels.split(size), strict=True)
    if torch.is_grad_enabled():
        done = [checkpoint(one, h, y, use_reentrant=False) for h, y in parts]
    else:
        done = [one(h, y) for h, y in parts]
    logprobs = torch.cat([part[0] for part in done])
    return logprobs, torch.cat([part[1] for part in done]) if collision else None


def _unchanged(logits: torch.Tensor) -> torch.Tensor:
    return logits


def _transform(config: Any) -> Transform:
    """What some models do with their logits after the head."""
    cap = getattr(config, "final_logit_softcapping", None)
    scale = (getattr(config, "logit_scale", None) or 1.0) / (
        getattr(config, "logits_scaling", None) or 1.0
    )

    if scale == 1.0 and cap is None:
        return _unchanged

    def transform(logits: torch.Tensor) -> torch.Tensor:
        logits = logits * scale
        return logits if cap is None else torch.tanh(logits / cap) * cap

    return transform


@torch.no_grad()
def token_collisions(logits: torch.Tensor) -> torch.Tensor:
    """``log sum_v p(v)^2`` of (N, V) logits: (N,) in fp32, without gradient."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return (2 * wide).logsumexp(-1) - 2 * wide.logsumexp(-1)


def token_logprobs(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``log softmax(logits)[label]`` with an fp32 log-sum-exp.

    Args:
        logits: (N, V) of any float type.
        labels: (N,) token ids.

    Returns:
        (N,) in fp32, or fp64 for fp64 logits.
    """
    apply: Any = _TokenLogprobs.apply
    result: torch.Tensor = apply(logits, labels)
    return result


class _TokenLogprobs(torch.autograd.Function):
    """(N, V) logits and (N,) labels to (N,) log-probabilities; keeps no probabilities.

    The gradient with respect to the logits is ``one_hot(label) - softmax(logits)``.
    """

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        wide = torch.promote_types(logits.dtype, torch.float32)
        normalizers = logits.to(wide).logsumexp(-1)
        ctx.save_for_backward(logits, labels, normalizers)
        return logits.gather(-1, labels[:, None]).squeeze(-1).to(wide) - normalizers

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, labels, normalizers = ctx.saved_tensors
        wide = (logits.to(normalizers.dtype) - normalizers[:, None]).exp_()
        wide.mul_(-grad[:, None])
        wide.scatter_add_(-1, labels[:, None], grad[:, None])
        return wide.to(logits.dtype), None
