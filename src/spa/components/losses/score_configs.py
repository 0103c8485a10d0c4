"""Settings of the losses that decide by scores which response is preferred. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, field_validator

from spa.api import ComponentConfig, RecipeFacts
from spa.components.losses.configs import SimpoConfig

__all__ = ["RewardSoupConfig", "SafeDpoConfig"]


class SafeDpoConfig(ComponentConfig):
    """Settings of the loss ``safedpo``."""

    threshold: float = Field(
        allow_inf_nan=False,
        description=(
            "A response whose score is below this is unsafe. In the judge's scale, so there is no "
            "default: for labels 1 to 9, 5 is the middle."
        ),
    )
    objective: int = Field(
        0,
        ge=0,
        description="Which objective's score says whether a response is safe; 0 is the first.",
    )
    beta: float = Field(
        0.1,
        gt=0,
        allow_inf_nan=False,
        description="How strongly the reference, the model at the start of the round, holds back.",
    )
    delta: float = Field(
        10.0,
        ge=0,
        allow_inf_nan=False,
        description=(
            "How much further apart, in units of the reward, a safe and an unsafe response must "
            "be than two safe ones; 0 only puts the pairs in order."
        ),
    )

    def out_of_range(self, objectives: int) -> str:
        """The message for a recipe that has no such objective."""
        return (
            f"there is no objective {self.objective}: there are {objectives}, and the first is 0. "
            f"Choose 0 to {objectives - 1}"
        )

    def check_recipe(self, facts: RecipeFacts) -> Iterable[tuple[str, str]]:
        """Finds an objective that the recipe does not have."""
        if self.objective >= len(facts.objectives):
            yield "objective", self.out_of_range(len(facts.objectives))


class RewardSoupConfig(SimpoConfig):
    """Settings of the loss ``reward-soup``."""

    weights: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = Field(
        min_length=1,
        description=(
            "One weight for each objective, in the recipe's order, read as shares: [6, 4] takes "
            "0.6 of the first score and 0.4 of the second."
        ),
    )

    @field_validator("weights")
    @classmethod
    def _some_weight(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if not any(weights):
            raise ValueError("all weights are 0, so no score counts. Make one or more positive")
        return weights

    @property
    def shares(self) -> tuple[float, ...]:
        """The weights divided by their sum."""
        total = math.fsum(self.weights)
        return tuple(weight / total for weight in self.weights)

    def wrong_count(self, objectives: int) -> str:
        """The message for a recipe with another number of objectives."""
        return (
            f"the number of weights is {len(self.weights)}, but the number of objectives is "
            f"{objectives}. Give one weight for each objective, in their order"
        )

    def check_recipe(self, facts: RecipeFacts) -> Iterable[tuple[str, str]]:
        """Finds a number of weights that is not that of the objectives."""
        if len(self.weights) != len(facts.objectives):
            yield "weights", self.wrong_count(len(facts.objectives))
