from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from spa.recipe.sections import (
    AnswerConfig,
    LoraSettings,
    ObjectiveConfig,
    PromptSettings,
    RecipeSettings,
    SoupSettings,
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
        SoupSettings,
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


def test_a_soup_has_a_share_for_each_adapter_and_stands_for_one_training_of_an_adapter() -> None:
    soup = SoupSettings(adapters=("a", "b", "c"), weights=(6, 3, 1))
    assert soup.shares == (0.6, 0.3, 0.1)
    with pytest.raises(ValidationError, match="weights is 3, but the number of adapters is 2"):
        SoupSettings(adapters=("a", "b"), weights=(1, 2, 3))
    with pytest.raises(ValidationError, match="all weights are 0, so nothing is left"):
        SoupSettings(adapters=("a", "b"), weights=(0, 0))
    with pytest.raises(ValidationError, match=r"made of adapters, and train.lora is null"):
        TrainConfig(lora=None, soup=soup)
    objectives = (ObjectiveConfig(name="safe"),)
    with pytest.raises(ValidationError, match=r"same adapter in every round. Set iterations to 1"):
        RecipeSettings(name="r", objectives=objectives, train=TrainConfig(soup=soup), iterations=2)
