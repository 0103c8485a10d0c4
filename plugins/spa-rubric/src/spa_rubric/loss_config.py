"""What a recipe can say to the loss ``slic``. Defaults are ours, not the paper's."""

from __future__ import annotations

from pydantic import Field

from spa.api import ComponentConfig

__all__ = ["SlicConfig"]


class SlicConfig(ComponentConfig):
    """Settings of the loss ``slic``."""

    margin: float = Field(
        default=0.5,
        gt=0,
        allow_inf_nan=False,
        description="How far, in nats a token, chosen must be above rejected to cost nothing.",
    )
    regularization: float = Field(
        default=0.1,
        ge=0,
        allow_inf_nan=False,
        description="Weight of the negative log-likelihood a token of the chosen response, which"
        " keeps the policy from drifting.",
    )
