"""Keeps messages that libraries mean for each other from the users of spa."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["bitsandbytes_without_casts", "peft_without_deprecations"]


def bitsandbytes_without_casts() -> None:
    """Hides that bitsandbytes rounds inputs to half precision first, said at every layer's call."""
    logging.getLogger("bitsandbytes.autograd._functions").addFilter(_no_cast)


def _no_cast(record: logging.LogRecord) -> bool:
    return "inputs will be cast" not in record.getMessage()


@contextmanager
def peft_without_deprecations() -> Iterator[None]:
    """Hides that peft reads an attribute that transformers has renamed."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*gradient_checkpointing", category=FutureWarning
        )
        yield
