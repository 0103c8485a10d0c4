"""Settings of the pair builders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from spa.api import ComponentConfig, RecipeFacts

__all__ = ["LexicographicConfig"]


class LexicographicConfig(ComponentConfig):
    """Settings of the pair builder `lexicographic`."""

    margin: float = Field(
        default=1.0,
        ge=0,
        allow_inf_nan=False,
        description="Smallest sum over objectives of the absolute score difference of a pair, on"
        " the judge's scale. Fit it to the spread that the judge really uses.",
    )
    tie_tolerance: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Scores are rounded to a grid of this step before they are compared, so that"
        " scores in one cell tie and the next objective decides. 0 compares exactly.",
    )
    sources: Literal["all", "refined_vs_each"] = Field(
        default="all",
        description="Which responses are paired: all of a group, or only the refined response with"
        " each sample. The order decides which of the two is chosen.",
    )

    def check_recipe(self, facts: RecipeFacts) -> Iterable[tuple[str, str]]:
        """Pairs with the refined response need one."""
        if self.sources == "refined_vs_each" and not facts.refines:
            yield (
                "sources",
                "there is no refined response to pair the samples with. Add a `refine` section, or"
                " set sources to `all`",
            )
