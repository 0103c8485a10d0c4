"""What a recipe can say to the judge ``rubric``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from spa.api import ComponentConfig, RecipeFacts

__all__ = ["Pattern", "Rubric", "RubricConfig"]


def _compiles(text: str) -> str:
    try:
        expression = re.compile(text)
    except re.error as error:
        place = "" if error.pos is None else f" at character {error.pos + 1}"
        raise ValueError(f"{text!r} is not a regular expression: {error.msg}{place}") from None
    if expression.search("") is not None:
        raise ValueError(f"{text!r} matches an empty text, so it would match anything")
    return text


class Pattern(ComponentConfig):
    """One thing to look for."""

    match: Annotated[str, AfterValidator(_compiles)] = Field(
        description="A regular expression, searched anywhere; upper and lower case are the same,"
        " ^ and $ are ends of lines."
    )
    points: float = Field(
        default=1.0, allow_inf_nan=False, description="What it is worth; below 0 takes points off."
    )
    count: Literal["once", "each"] = Field(
        default="once", description="once: found or not. each: the points again for every match."
    )


class Rubric(ComponentConfig):
    """How one objective is scored: the sum of the points, kept between lowest and highest."""

    patterns: tuple[Pattern, ...] = Field(min_length=1, description="What to look for.")
    lowest: float = Field(default=0.0, allow_inf_nan=False, description="Least possible score.")
    highest: float = Field(allow_inf_nan=False, description="The cap: most possible score.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(f"highest ({self.highest:g}) must be above lowest ({self.lowest:g})")
        if all(pattern.points == 0 for pattern in self.patterns):
            raise ValueError("no pattern has any points, so every score would be the same")
        return self


class RubricConfig(ComponentConfig):
    """Settings of the judge ``rubric``."""

    rubrics: dict[str, Rubric] = Field(
        min_length=1, description="Name of each objective to how it is scored."
    )

    def check_recipe(self, facts: RecipeFacts) -> Iterable[tuple[str, str]]:
        """Every objective needs a rubric."""
        known = ", ".join(self.rubrics)
        for name in facts.objectives:
            if name not in self.rubrics:
                yield (
                    "rubrics",
                    f"no rubric for objective {name!r}. There are rubrics for: {known}. "
                    f"Add rubrics.{name}",
                )
