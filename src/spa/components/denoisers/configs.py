"""Settings of the denoisers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from spa.api import ComponentConfig, RecipeFacts

__all__ = ["ConsistencyConfig", "InformativenessConfig", "samples_needed"]

_MIN_SAMPLES = 3


def samples_needed(objectives: int) -> int:
    """Fewest samples with which the determinant of their score covariance can be above 0.

    n samples span at most n - 1 dimensions around their mean, so K objectives need K + 1; and at
    least 3, since two samples say nothing of a spread.
    """
    return max(_MIN_SAMPLES, objectives + 1)


class ConsistencyConfig(ComponentConfig):
    """Settings of the denoiser `consistency`."""

    on_fail: Literal["drop_group", "drop_refined"] = Field(
        default="drop_group",
        description="What goes when the refined response is not better on every objective: the"
        " whole prompt group, or the refined response alone.",
    )
    ceiling_tolerance: float = Field(
        default=1e-6,
        ge=0,
        allow_inf_nan=False,
        description="A best sample this close to the top of the judge's scale leaves no room for"
        " improvement: a group that fails for it is counted under `ceiling`.",
    )

    def check_recipe(self, facts: RecipeFacts) -> Iterable[tuple[str, str]]:
        """There must be a refined response that can be better than the samples."""
        if facts.refines and not facts.rewrites:
            yield (
                "",
                "the refiner copies the best sample, and a copy is never strictly better than what"
                " it is copied from: no group could pass. Remove this denoiser, or refine with"
                " `self-refine`",
            )
        if not facts.refines:
            yield (
                "",
                "there is no refined response to compare the samples with. Add a `refine` section,"
                " or remove this denoiser",
            )


class InformativenessConfig(ComponentConfig):
    """Settings of the denoiser `informativeness`."""

    max_determinant: float = Field(
        default=4.0,
        gt=0,
        allow_inf_nan=False,
        description="Largest determinant of the covariance of the samples' scores (tau). Its unit"
        " is the judge's scale to the power of twice the number of objectives.",
    )
    relative_tolerance: float = Field(
        default=1e-5,
        ge=1e-12,
        lt=1,
        description="How far a score may be off by rounding, relative to the largest score of its"
        " objective. Groups that differ from a degenerate one by no more are degenerate.",
    )

    def check_recipe(self, facts: RecipeFacts) -> Iterable[tuple[str, str]]:
        """There must be enough samples for a determinant above 0."""
        needed = samples_needed(len(facts.objectives))
        if facts.samples is not None and facts.samples < needed:
            objectives = (
                "1 objective"
                if len(facts.objectives) == 1
                else (f"{len(facts.objectives)} objectives")
            )
            yield (
                "",
                f"needs at least {needed} samples a prompt for {objectives}, and the generator"
                f" makes {facts.samples}: with fewer, the determinant of the covariance of their"
                f" scores says nothing or is always 0, and every group would be dropped. Set"
                f" generate.n to {needed} or more, or remove this denoiser",
            )
