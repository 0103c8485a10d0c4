"""What lies inside the wrappers that PEFT and distributed training put around a model."""

from __future__ import annotations

import inspect
from typing import Any

import torch

__all__ = ["forward_parameters", "unwrapped"]


def unwrapped(model: Any) -> Any:
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


def forward_parameters(model: Any) -> frozenset[str]:
    """Names of the parameters of a model's own forward."""
    return frozenset(inspect.signature(type(model).forward).parameters)
