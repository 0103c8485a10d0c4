"""What tests of spa and of the plugins beside it share: a garbage collector with little to do."""

from __future__ import annotations

import gc
import sys

import pytest

_MANY = 100
_seen = 0


@pytest.fixture(autouse=True)
def objects_of_imports_are_frozen() -> None:
    """Takes what imports have made out of sight of the garbage collector.

    Torch and transformers make a million objects that stay. Every full collection would look at all
    of them, for a third of a second, and each model that is freed begins one.
    """
    global _seen  # noqa: PLW0603 - there is one interpreter
    if len(sys.modules) - _seen > _MANY:
        _seen = len(sys.modules)
        gc.collect()
        gc.freeze()
