"""Frozen weights in 4 or 8 bits while an adapter is trained (QLoRA, arXiv 2305.14314).

Only training holds them so: generation and judging use the weights as they are, with the adapter.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from transformers import AutoConfig, BitsAndBytesConfig

from spa.errors import RunError
from spa.models.loading import load_model, pick_dtype
from spa.models.location import model_source
from spa.models.quiet import bitsandbytes_without_casts
from spa.models.spec import ModelSpec
from spa.training.precision import check_compute_dtype

__all__ = ["Quantization", "load_quantized", "rounding"]

Quantization = Literal["nf4", "int8"]


def load_quantized(spec: ModelSpec, kind: Quantization) -> Any:
    """Loads a model with quantised linear layers, the output layer excepted, all of it frozen.

    Norms are fp32 whatever the rest is: they are small, and errors there reach every token.
    ``model.dtype`` stays what ``spec`` says, which is also what quantised layers compute in.

    Args:
        spec: The model; its adapter is not applied.
        kind: ``"nf4"``: 4-bit NormalFloat with double quantisation. ``"int8"``: LLM.int8
            (arXiv 2208.07339).

    Raises:
        SpaError: If the model cannot be loaded.
        RunError: If bitsandbytes is missing or cannot be used here.
    """
    dtype = _compute_dtype(spec)
    check_compute_dtype(dtype)
    bitsandbytes_without_casts()
    try:
        model: Any = load_model(spec, _config(kind, dtype))
    except torch.OutOfMemoryError:
        raise
    except (ImportError, RuntimeError) as error:
        raise RunError(
            f"weights cannot be quantised to {kind} here: {error}\n"
            "Is bitsandbytes installed, and made for this device? "
            "Try: pip install bitsandbytes, or set train.quantization: null."
        ) from error
    for module in model.modules():
        # On CPUs with AVX512-BF16, a pass in evaluation mode, such as that for the reference, would
        # repack 4-bit weights for a kernel without a backward pass: all gradients would be lost.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        if parameter.ndim == 1 and parameter.is_floating_point():
            parameter.data = parameter.data.float()
    return model


def rounding(dtype: torch.dtype, kind: Quantization | None) -> torch.dtype:
    """The format that rounds as roughly as the model computes.

    With int8 the input of a layer is rounded to 8 bits, so results of equal computations that are
    laid out differently differ as those of bfloat16 do.
    """
    return torch.bfloat16 if kind == "int8" else dtype


def _config(kind: Quantization, dtype: torch.dtype) -> BitsAndBytesConfig:
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _compute_dtype(spec: ModelSpec) -> torch.dtype:
    """The spec's dtype, that of the checkpoint for ``"auto"`` on an accelerator."""
    chosen = pick_dtype(spec)
    if isinstance(chosen, torch.dtype):
        return chosen
    config = AutoConfig.from_pretrained(
        model_source(spec.path), trust_remote_code=spec.trust_remote_code
    )
    own = getattr(config.get_text_config(), "dtype", None)
    return own if isinstance(own, torch.dtype) else torch.float32
