"""Loads the tiny recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spa.recipe import Recipe, load_recipe


@pytest.fixture
def recipe(recipe_file: Path) -> Callable[..., Recipe]:
    """Loads the recipe with overrides."""
    return lambda sets=(): load_recipe(recipe_file, sets=sets)
