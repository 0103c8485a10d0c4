"""A run in a store, and ``datasets`` kept from the network and from the user's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_run import make_run

from spa.engine.stored_run import StoredRun, open_run


@pytest.fixture
def made(tmp_path: Path) -> StoredRun:
    """The run that `made_run` describes."""
    return open_run(make_run(tmp_path / "runs"))


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    """``datasets.load_dataset`` with a cache of its own; skips where datasets is missing."""
    datasets = pytest.importorskip("datasets")

    def loaded(*args: Any, **settings: Any) -> Any:
        return datasets.load_dataset(*args, cache_dir=str(tmp_path / "cache"), **settings)

    return loaded
