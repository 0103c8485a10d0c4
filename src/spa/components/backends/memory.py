"""Recognises that memory did not suffice, whatever raised it, and gives back what is not needed."""

from __future__ import annotations

import gc

import torch

__all__ = ["free_memory", "is_out_of_memory"]

# What torch's own allocators say: a plain RuntimeError on CPUs and on some accelerators.
_SAID = ("out of memory", "can't allocate memory", "not enough memory", "defaultcpuallocator")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, so that less at a time may do."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _SAID)


def free_memory() -> None:
    """Gives back what no one refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
