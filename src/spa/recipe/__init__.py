"""Recipes: YAML in, a validated `Recipe` out, or everything that is wrong with it.

The flow: `reading` makes a tree with places, `merging` lays recipes over each other, `overrides`
applies ``--set`` and ``--swap``, `validation` makes the `Recipe`. Nothing here imports torch.
"""

from __future__ import annotations

from spa.recipe.json_schema import recipe_schema
from spa.recipe.loading import load_recipe
from spa.recipe.model import Asker, AskingSpec, ComponentSpec, JudgeSpec, PromptsSpec, Recipe
from spa.recipe.sections import (
    AnswerConfig,
    LoraSettings,
    ObjectiveConfig,
    SplitConfig,
    TrainConfig,
)

__all__ = [
    "AnswerConfig",
    "Asker",
    "AskingSpec",
    "ComponentSpec",
    "JudgeSpec",
    "LoraSettings",
    "ObjectiveConfig",
    "PromptsSpec",
    "Recipe",
    "SplitConfig",
    "TrainConfig",
    "load_recipe",
    "recipe_schema",
]
