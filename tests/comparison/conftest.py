"""Finished runs to compare."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from evaluated_run import make_evaluated_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes runs into one folder; see `make_evaluated_run`."""
    return partial(make_evaluated_run, tmp_path / "runs")
