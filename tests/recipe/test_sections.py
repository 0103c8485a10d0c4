from __future__ import annotations

import pytest
from pydantic import BaseModel

from spa.recipe.sections import (
    AnswerConfig,
    LoraSettings,
    ObjectiveConfig,
    PromptSettings,
    RecipeSettings,
    SplitConfig,
    TrainConfig,
)


@pytest.mark.parametrize(
    "model",
    [
        AnswerConfig,
        LoraSettings,
        ObjectiveConfig,
        PromptSettings,
        RecipeSettings,
        SplitConfig,
        TrainConfig,
    ],
)
def test_every_key_is_described(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"]


def test_defaults_that_follow_others() -> None:
    assert TrainConfig().learning_rate == 2e-4
    assert TrainConfig(lora=None).learning_rate == 1e-6
    assert TrainConfig(lora=None, learning_rate=1e-5).learning_rate == 1e-5
    assert LoraSettings(r=8).alpha == 16
    assert LoraSettings(r=8, alpha=8).alpha == 8


def test_target_modules() -> None:
    assert LoraSettings().target_modules == "all-linear"
    assert LoraSettings(target_modules=("q_proj",)).target_modules == ("q_proj",)


def test_a_soup_needs_adapters_and_weights_above_0() -> None:
    assert TrainConfig(soup=(9, 1)).soup == (9.0, 1.0)
    with pytest.raises(ValueError, match="adapters are mixed, and there are none"):
        TrainConfig(soup=(9, 1), lora=None)
    with pytest.raises(ValueError, match="greater than 0"):
        TrainConfig(soup=(9, 0))
