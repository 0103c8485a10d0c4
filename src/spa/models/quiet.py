"""Keeps messages that libraries mean for each other from the users of spa."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["peft_without_deprecations"]


@contextmanager
def peft_without_deprecations() -> Iterator[None]:
    """Hides that peft reads an attribute that transformers has renamed."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*gradient_checkpointing", category=FutureWarning
        )
        yield
