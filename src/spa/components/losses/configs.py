"""Settings of the losses that the paper compares. Imports no torch, so recipes validate fast.

No default here is the SPA paper's: its hyper-parameters are not published. They come from related
work and from our own trials with small models.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spa.api import ComponentConfig

__all__ = ["DpoConfig", "SftConfig", "SimpoConfig", "SpaConfig"]


class SimpoConfig(ComponentConfig):
    """Settings of the loss ``simpo``."""

    beta: float = Field(
        2.5,
        gt=0,
        allow_inf_nan=False,
        description="Scale of the reward beta/|y| log p(y|x). Full fine-tuning: 2 to 10.",
    )
    gamma: float = Field(
        0.5,
        ge=0,
        allow_inf_nan=False,
        description=(
            "Target margin between the rewards of chosen and rejected. Absolute: it is not "
            "multiplied by beta. Implementations that ask for gamma/beta mean 0.2 for the default."
        ),
    )


class SpaConfig(SimpoConfig):
    """Settings of the loss ``spa``."""

    alpha: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="Exponent of the weight (gap / mean gap)^alpha: how much wide gaps count more.",
    )
    gap: Literal["sum", "l1"] = Field(
        "sum",
        description=(
            "What the weight measures. sum: the difference of the summed scores, as the paper "
            "writes. l1: the summed differences, which is the gap that the pairs' margin bounds."
        ),
    )


class DpoConfig(ComponentConfig):
    """Settings of the loss ``dpo``."""

    beta: float = Field(
        0.1,
        gt=0,
        allow_inf_nan=False,
        description="How strongly the reference, the model at the start of the round, holds back.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Assumed probability that a pair is the wrong way round (conservative DPO).",
    )


class SftConfig(ComponentConfig):
    """Settings of the loss ``sft``."""

    repeats: Literal["keep", "once"] = Field(
        "keep",
        description=(
            "A response chosen in several pairs: keep counts it once for each pair, so responses "
            "that beat many others weigh more; once shares its weight among its pairs, so that "
            "every chosen response of a batch weighs the same."
        ),
    )
