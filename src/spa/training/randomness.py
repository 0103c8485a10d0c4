"""The state of torch's random numbers, which dropout draws from."""

from __future__ import annotations

import torch

__all__ = ["rng_state", "set_rng_state"]


def rng_state() -> list[torch.Tensor]:
    """The state of the CPU and of all GPUs."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *cuda]


def set_rng_state(states: list[torch.Tensor]) -> None:
    """Goes back to what `rng_state` gave."""
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state_all(states[1:])
