"""Log-probabilities straight from hidden states and a head that is one matrix.

The plain case of `spa.training.head`, with less memory: the backward pass turns the logits of a
chunk into their gradient in place, and adds to one gradient of the matrix.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["linear_logprobs"]


def linear_logprobs(
    hidden_ND: torch.Tensor, weight_VD: torch.Tensor, labels_N: torch.Tensor, size: int
) -> torch.Tensor:
    """``log softmax(hidden weight^T)[label]`` with an fp32 log-sum-exp.

    Args:
        hidden_ND: Hidden states, of any float type.
        weight_VD: The head, of the same type.
        labels_N: Token ids.
        size: Tokens of a chunk: no more logits than these have are held at a time.

    Returns:
        (N,) in fp32, or fp64 for fp64 hidden states.
    """
    if torch.is_autocast_enabled(hidden_ND.device.type):
        dtype = torch.get_autocast_dtype(hidden_ND.device.type)
        hidden_ND, weight_VD = hidden_ND.to(dtype), weight_VD.to(dtype)
    apply: Any = _LinearLogprobs.apply
    result: torch.Tensor = apply(hidden_ND, weight_VD, labels_N, size)
    return result


class _LinearLogprobs(torch.autograd.Function):
    """Keeps no probabilities: the backward pass computes them again, a chunk at a time.

    With ``P = softmax(hidden weight^T)`` and ``G = grad (one_hot(label) - P)``, the gradients are
    ``G weight`` and ``G^T hidden``.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, size: int
    ) -> torch.Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        normalizers, picked = [], []
        with torch.autocast(hidden.device.type, enabled=False):
            for part, chosen in zip(hidden.split(size), labels.split(size), strict=True):
                logits = part @ weight.T
                picked.append(logits.gather(-1, chosen[:, None]).squeeze(-1).to(wide))
                normalizers.append(logits.to(wide).logsumexp(-1))
        normalizers_N = torch.cat(normalizers)
        ctx.save_for_backward(hidden, weight, labels, normalizers_N)
        ctx.size = size
        return torch.cat(picked) - normalizers_N

    @staticmethod
    def backward(
        ctx: Any, grad: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        hidden, weight, labels, normalizers = ctx.saved_tensors
        hidden_wanted, weight_wanted = ctx.needs_input_grad[:2]
        hidden_grad = torch.empty_like(hidden) if hidden_wanted else None
        weight_grad = torch.zeros_like(weight, dtype=grad.dtype) if weight_wanted else None
        start = 0
        for part, chosen, normalizer, slope in zip(
            *(tensor.split(ctx.size) for tensor in (hidden, labels, normalizers, grad)), strict=True
        ):
            logits = (part @ weight.T).to(grad.dtype)
            logits.sub_(normalizer[:, None]).exp_().mul_(-slope[:, None])
            logits.scatter_add_(-1, chosen[:, None], slope[:, None])
            logits = logits.to(weight.dtype)
            if hidden_grad is not None:
                hidden_grad[start : start + len(part)] = logits @ weight
            if weight_grad is not None and weight_grad.dtype == weight.dtype:
                weight_grad.addmm_(logits.T, part)
            elif weight_grad is not None:
                weight_grad += logits.T @ part
            start += len(part)
        if weight_grad is not None:
            weight_grad = weight_grad.to(weight.dtype)
        return hidden_grad, weight_grad, None, None
