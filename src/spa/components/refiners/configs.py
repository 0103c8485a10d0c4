"""Settings of the refiners."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from spa.api import ComponentConfig
from spa.components.refiners.templates import (
    CRITIQUE_TEMPLATE,
    HEED_TEMPLATE,
    REFINE_TEMPLATE,
)
from spa.components.text import missing_placeholders

__all__ = ["BestOfNConfig", "CritiqueRefineConfig", "SelfRefineConfig"]


class _WrittenConfig(ComponentConfig):
    """What refiners that write a response share."""

    temperature: float = Field(
        default=0.7,
        ge=0,
        allow_inf_nan=False,
        description="Sampling temperature; 0 is greedy. The default is ours.",
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Nucleus sampling; 1 keeps the whole distribution."
    )
    max_tokens: int = Field(
        default=256, ge=1, description="Most tokens of the refined response, end token included."
    )
    max_chars: int = Field(
        default=4000,
        ge=1,
        description="Characters shown of each sample; the rest is cut and marked by an ellipsis.",
    )
    prefill: str = Field(
        default="",
        description="Beginning of the answer, to steer small models. It is not part of the refined"
        " response: choose one after which an answer can start anew.",
    )


class SelfRefineConfig(_WrittenConfig):
    """Settings of the refiner `self-refine`."""

    template: str = Field(
        default=REFINE_TEMPLATE,
        description="What the model is asked. {prompt} and {samples} must be in it; {objectives}"
        " may be.",
    )

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str) -> str:
        if missing := missing_placeholders(template, ("prompt", "samples")):
            raise ValueError(f"{' and '.join(missing)} must be in it")
        return template


class CritiqueRefineConfig(_WrittenConfig):
    """Settings of the refiner `critique-refine`."""

    template: str = Field(
        default=HEED_TEMPLATE,
        description="What the model is asked second. {prompt}, {samples} and {critique} must be in"
        " it; {objectives} may be.",
    )
    critique_template: str = Field(
        default=CRITIQUE_TEMPLATE,
        description="What the model is asked first. {prompt} and {samples} must be in it;"
        " {objectives} may be.",
    )
    critique_temperature: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Sampling temperature of the critique; 0 is greedy. The default is ours.",
    )
    critique_max_tokens: int = Field(
        default=256, ge=1, description="Most tokens of the critique, end token included."
    )
    critique_prefill: str = Field(
        default="", description="Beginning of the critique, to steer small models."
    )
    kept_chars: int = Field(
        default=2000, ge=1, description="Characters of the critique kept with the response."
    )

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str) -> str:
        if missing := missing_placeholders(template, ("prompt", "samples", "critique")):
            raise ValueError(f"{' and '.join(missing)} must be in it")
        return template

    @field_validator("critique_template")
    @classmethod
    def _check_critique_template(cls, template: str) -> str:
        if missing := missing_placeholders(template, ("prompt", "samples")):
            raise ValueError(f"{' and '.join(missing)} must be in it")
        return template


class BestOfNConfig(ComponentConfig):
    """Settings of the refiner `best-of-n`."""

    rewrites: ClassVar[bool] = False
    """Read into `RecipeFacts.rewrites`."""

    tie_tolerance: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Scores are rounded to a grid of this step before they are compared, as in the"
        " pair builder `lexicographic`. 0 compares exactly.",
    )
