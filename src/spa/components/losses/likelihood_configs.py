"""Settings of the losses that add the likelihood of the chosen response. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from spa.api import ComponentConfig

__all__ = ["CpoConfig", "OrpoConfig"]


class CpoConfig(ComponentConfig):
    """Settings of the loss ``cpo``."""

    beta: float = Field(
        0.1,
        gt=0,
        allow_inf_nan=False,
        description="Scale of the margin of summed log-probabilities.",
    )
    alpha: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description=(
            "Weight of the negative log-likelihood a token of the chosen response, which keeps "
            "its probability from falling along with the rejected one's; 0 leaves it out."
        ),
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Assumed probability that a pair is the wrong way round.",
    )


class OrpoConfig(ComponentConfig):
    """Settings of the loss ``orpo``."""

    beta: float = Field(
        0.1,
        gt=0,
        allow_inf_nan=False,
        description=(
            "Weight of the odds term, called lambda in the paper; the likelihood of the chosen "
            "response has weight 1."
        ),
    )
