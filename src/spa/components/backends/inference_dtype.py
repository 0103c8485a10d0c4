"""The number format that ``dtype: auto`` means for running a model, as opposed to training it."""

from __future__ import annotations

from spa.models.identity import checkpoint_dtype
from spa.models.loading import device_kind
from spa.models.machine import computes_bfloat16
from spa.models.spec import ModelSpec

__all__ = ["computes_bfloat16", "inference_dtype"]


def inference_dtype(spec: ModelSpec) -> str:
    """The spec's dtype for inference.

    ``auto`` on a CPU is bfloat16 where the checkpoint's own type has 16 bits and the processor
    multiplies in bfloat16: decoding and prompts both take a little more than half the time of
    float32 then. Without such instructions bfloat16 is slower.

    Raises:
        SpaError: If the model's files cannot be found.
    """
    if spec.dtype != "auto" or device_kind(spec) != "cpu":
        return spec.dtype
    short = checkpoint_dtype(spec) in ("bfloat16", "float16")
    return "bfloat16" if short and computes_bfloat16() else "float32"
