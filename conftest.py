"""What all tests share, the plugins' as well: their order, and little garbage collection."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
LONGEST = (
    "tests/training/test_processes.py",
    "tests/cli/test_ablate.py",
    "tests/engine/test_roles.py",
    "tests/engine/test_pipeline.py",
    "tests/training/test_run.py",
    "tests/training/test_quantization.py",
    "tests/components/backends/test_hf_conformance.py",
    "tests/faults/test_kills.py",
    "tests/faults/test_damage.py",
    "tests/faults/test_disk.py",
    "tests/faults/test_processes.py",
)
"""Files that take longest. They come first, so that all workers end at about the same time."""

_MANY = 100
_seen = 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of the longest files first."""
    rank = {ROOT / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


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
