"""Settings of the judges."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from spa.api import ComponentConfig
from spa.components.judges.templates import SCORE_TEMPLATE
from spa.components.text import missing_placeholders

__all__ = ["ConstitutionConfig"]


def _as_text(value: object) -> object:
    """Lets recipes write ``labels: [1, 2, 3]``."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Label = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class ConstitutionConfig(ComponentConfig):
    """Settings of the judge `constitution`."""

    mode: Literal["expected", "generate"] = Field(
        default="expected",
        description="`expected`: the mean score under the model's probabilities of the labels, in"
        " one forward pass. `generate`: the model writes a number, as in the paper.",
    )
    labels: tuple[Label, ...] = Field(
        default=tuple("123456789"),
        min_length=2,
        description="Mode `expected`: the labels, each a single token after the prefill.",
    )
    values: tuple[Finite, ...] | None = Field(
        default=None,
        description="Mode `expected`: the score of each label. Null: the labels as numbers.",
    )
    min_label_mass: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Mode `expected`: with less probability on all labels together, the response"
        " is unscored.",
    )
    lowest: Finite = Field(default=1.0, description="Mode `generate`: lowest valid score.")
    highest: Finite = Field(default=10.0, description="Mode `generate`: highest valid score.")
    max_tokens: int = Field(
        default=32, ge=1, description="Mode `generate`: most tokens the judge may write."
    )
    temperature: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Mode `generate`: 0 is greedy."
    )
    prefill: str = Field(
        default="Score: ", description="Beginning of the judge's answer, which the model continues."
    )
    template: str = Field(
        default=SCORE_TEMPLATE,
        description="What the judge is asked. {prompt} and {response} must be in it;"
        " {definitions} of all objectives, {definition} and {name} of the one asked for, {lowest}"
        " and {highest} may be.",
    )

    @property
    def label_values(self) -> tuple[float, ...]:
        """The score of each label."""
        return tuple(float(label) for label in self.labels) if self.values is None else self.values

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest possible score."""
        if self.mode == "generate":
            return self.lowest, self.highest
        return min(self.label_values), max(self.label_values)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: each label can be there only once")
        if self.values is None:
            self._check_numbers()
        elif len(self.values) != len(self.labels):
            raise ValueError(f"values: {len(self.values)} values for {len(self.labels)} labels")
        if self.scale[0] >= self.scale[1]:
            raise ValueError("the scale is empty: its highest score must be above its lowest")
        if missing := missing_placeholders(self.template, ("prompt", "response")):
            raise ValueError(f"template: {' and '.join(missing)} must be in it")
        return self

    def _check_numbers(self) -> None:
        for label in self.labels:
            try:
                finite = math.isfinite(float(label))
            except ValueError:
                finite = False
            if not finite:
                raise ValueError(
                    f"labels: {label!r} is not a number; give the score of each label in `values`"
                )
