"""Log-probabilities of responses: the one place where training runs the model.

`group_logprobs` is the seam: whatever way the rows are laid out, it returns one row of token
log-probabilities a response. Each unique response is forwarded once, however many pairs it is in.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Sequence
from typing import Any

import torch

from spa.training.collate import collate
from spa.training.encoding import EncodedGroup

__all__ = ["group_logprobs", "token_logprobs"]

logger = logging.getLogger(__name__)

_CHUNK_ELEMENTS = 1 << 24
"""Logits that are held in fp32 at a time: 64 MiB."""


def group_logprobs(
    model: torch.nn.Module, groups: Sequence[EncodedGroup], pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of every response token of some groups.

    Args:
        model: A causal language model, with or without a PEFT adapter; gradients flow to it.
        groups: At least one.
        pad_id: Any valid token id.

    Returns:
        (R, T) natural log-probabilities in fp32, 0 at padding, and the (R, T) mask. Rows are
        the responses of the groups, in order.
    """
    rows = collate(groups, pad_id, next(model.parameters()).device)
    plain: Any = type(_plain(model))
    accepted = _forward_parameters(plain)
    inputs: dict[str, Any] = {
        "input_ids": rows.input_ids,
        "attention_mask": rows.attention_mask,
        "use_cache": False,
    }
    columns = rows.predicting_columns()
    if "position_ids" in accepted:
        inputs["position_ids"] = rows.position_ids
    if "logits_to_keep" in accepted:
        inputs["logits_to_keep"] = columns
    logits = model(**inputs).logits
    if "logits_to_keep" not in accepted:
        logits = logits[:, columns]
    logprobs = token_logprobs(logits, rows.labels)
    return torch.where(rows.mask.bool(), logprobs, 0.0), rows.mask


def token_logprobs(
    logits: torch.Tensor, labels: torch.Tensor, chunk_elements: int = _CHUNK_ELEMENTS
) -> torch.Tensor:
    """``log softmax(logits)[label]`` with an fp32 log-sum-exp, without the logits in fp32.

    A bf16 log-softmax errs by up to 0.09 nats a token at a vocabulary of 128k, and a whole fp32
    copy of the logits is the largest tensor of a training step. So logits are widened a few
    tokens at a time, in the forward and again in the backward pass.

    Args:
        logits: (R, T, V) of any float type.
        labels: (R, T) token ids.
        chunk_elements: Most logits to hold in fp32 at a time.

    Returns:
        (R, T) in fp32, or fp64 for fp64 logits.
    """
    apply: Any = _ChunkedLogprobs.apply
    result: torch.Tensor = apply(logits.flatten(0, 1), labels.flatten(), chunk_elements)
    return result.view(labels.shape)


class _ChunkedLogprobs(torch.autograd.Function):
    """(N, V) logits and (N,) labels to (N,) log-probabilities.

    The gradient with respect to the logits is ``one_hot(label) - softmax(logits)``.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, labels: torch.Tensor, chunk_elements: int
    ) -> torch.Tensor:
        wide = torch.promote_types(logits.dtype, torch.float32)
        size = max(1, chunk_elements // logits.shape[-1])
        normalizers = torch.cat([part.to(wide).logsumexp(-1) for part in torch.split(logits, size)])
        picked = logits.gather(-1, labels[:, None]).squeeze(-1).to(wide)
        ctx.save_for_backward(logits, labels, normalizers)
        ctx.size = size
        return picked - normalizers

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        logits, labels, normalizers = ctx.saved_tensors
        out = torch.empty_like(logits)
        parts = (tensor.split(ctx.size) for tensor in (logits, labels, normalizers, grad, out))
        for logits_part, labels_part, normalizers_part, grad_part, out_part in zip(
            *parts, strict=True
        ):
            wide = (logits_part.to(normalizers.dtype) - normalizers_part[:, None]).exp_()
            wide.mul_(-grad_part[:, None])
            wide.scatter_add_(-1, labels_part[:, None], grad_part[:, None])
            out_part.copy_(wide)
        return out, None, None


def _plain(model: Any) -> Any:
    """The causal language model inside PEFT's and distributed wrappers."""
    while True:
        if hasattr(model, "get_base_model"):
            inner = model.get_base_model()
        elif isinstance(getattr(model, "module", None), torch.nn.Module):
            inner = model.module
        else:
            return model
        if inner is model:
            return model
        model = inner


@functools.cache
def _forward_parameters(model_class: Any) -> frozenset[str]:
    names = frozenset(inspect.signature(model_class.forward).parameters)
    if "logits_to_keep" not in names:
        logger.info(
            "%s computes logits for every position (its forward has no logits_to_keep): "
            "training needs more memory than with other models",
            model_class.__name__,
        )
    return names
