"""Number formats of training: which weights are kept in fp32, and when to autocast.

Full fine-tuning keeps fp32 weights and computes in bf16: a step of 1e-6 is lost in the rounding of
a bf16 weight, so that nothing would be learned. With LoRA the frozen weights stay in bf16 and the
adapter is fp32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from spa.errors import RunError

__all__ = ["autocast", "check_compute_dtype"]


def check_compute_dtype(dtype: torch.dtype) -> None:
    """Refuses formats that training cannot use.

    Raises:
        RunError: For float16, whose gradients underflow.
    """
    if dtype == torch.float16:
        raise RunError(
            "training in float16 is not supported: small gradients become 0 in it. "
            "Set train.dtype to bfloat16 (newer GPUs) or float32."
        )


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """The context of a forward pass: bf16 matrix products for bf16, nothing for wider formats.

    Not left to transformers' ``bf16=True``, which turns all logits into fp32.
    """
    if dtype == torch.bfloat16:
        return torch.autocast(device.type, dtype=dtype)
    return nullcontext()
