"""Settings of the refiners."""

from __future__ import annotations

from pydantic import Field, field_validator

from spa.api import ComponentConfig
from spa.components.refiners.templates import REFINE_TEMPLATE
from spa.components.text import missing_placeholders

__all__ = ["SelfRefineConfig"]


class SelfRefineConfig(ComponentConfig):
    """Settings of the refiner `self-refine`."""

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
