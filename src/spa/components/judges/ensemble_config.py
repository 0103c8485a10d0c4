"""Settings of the judge `ensemble`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from spa.api import ComponentConfig, Members

__all__ = ["EnsembleConfig"]


class EnsembleConfig(ComponentConfig):
    """Settings of the judge `ensemble`."""

    members: Annotated[tuple[dict[str, Any], ...], Members()] = Field(
        min_length=1,
        description="The judges, each a section of its own: `{use: constitution, backend: {...}}`."
        " One without a backend asks that of `judge.backend`.",
    )
    combine: Literal["mean", "median"] = Field(
        default="mean", description="What is taken of the members' scores."
    )
    min_members: int | None = Field(
        default=None,
        ge=1,
        description="With scores of fewer members a response is unscored. Null: all must score.",
    )

    @property
    def needed(self) -> int:
        """How many members must have scored."""
        return len(self.members) if self.min_members is None else self.min_members

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.needed > len(self.members):
            raise ValueError(
                f"min_members is {self.min_members}, but there are {len(self.members)} members. "
                "Lower it"
            )
        return self
