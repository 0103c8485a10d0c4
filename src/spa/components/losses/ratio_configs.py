"""Settings of the losses on log ratios to the reference, besides DPO. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from spa.api import ComponentConfig

__all__ = ["HingeConfig", "IpoConfig", "WpoConfig"]


class IpoConfig(ComponentConfig):
    """Settings of the loss ``ipo``."""

    beta: float = Field(
        0.1,
        gt=0,
        allow_inf_nan=False,
        description="The margin of log ratios is pulled to 1/(2 beta): 5 nats for the default.",
    )
    length_normalized: bool = Field(
        False,
        description=(
            "Whether each log ratio is divided by the number of response tokens. The paper writes "
            "sums; TRL divides. Then the margin is in nats a token, so take a larger beta."
        ),
    )


class HingeConfig(ComponentConfig):
    """Settings of the loss ``hinge``."""

    beta: float = Field(
        0.1,
        gt=0,
        allow_inf_nan=False,
        description="A pair costs nothing once its log ratios differ by 1/beta nats.",
    )


class WpoConfig(ComponentConfig):
    """Settings of the loss ``wpo``."""

    beta: float = Field(
        0.1,
        gt=0,
        allow_inf_nan=False,
        description="How strongly the reference, the model at the start of the round, holds back.",
    )
    max_weight: float | None = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="Largest weight of a pair; null for no limit, as in TRL 1.16.",
    )
