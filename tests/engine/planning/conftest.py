"""A finished run that several tests plan from."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_recipe import write_tiny_recipe

from spa.engine.pipeline import run_recipe
from spa.recipe import load_recipe


@pytest.fixture(scope="session")
def finished_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``tiny.yaml`` and, in ``runs``, one run of it; not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    run_recipe(load_recipe(write_tiny_recipe(folder, tiny_folder)), runs=folder / "runs")
    return folder


@pytest.fixture(scope="session")
def finished_runs(finished_folder: Path) -> Path:
    """Its folder of runs; not to be written to."""
    return finished_folder / "runs"
