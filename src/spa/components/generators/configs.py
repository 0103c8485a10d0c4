"""Settings of the generators."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from spa.api import ComponentConfig, load_system_prompts

__all__ = ["DiverseConfig"]

Temperature = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DiverseConfig(ComponentConfig):
    """Settings of the generator `diverse`."""

    n: int = Field(default=4, ge=1, description="Samples per prompt.")
    temperature: Temperature | Annotated[tuple[Temperature, ...], Field(min_length=1)] = Field(
        default=1.0,
        description="Sampling temperature, or a list of them that the samples take in turn."
        " 0 is greedy.",
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Nucleus sampling; 1 keeps the whole distribution."
    )
    max_tokens: int = Field(
        default=256, ge=1, description="Most tokens of a sample, the end token included."
    )
    system_prompts: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(),
        description="Alternative system prompts. The samples take them in turn; the first sample"
        " has none, then comes each of these.",
    )
    shipped: bool | None = Field(
        default=None,
        description="Whether the system prompts that come with spa follow yours. Null: only where"
        " you give none.",
    )

    @model_validator(mode="before")
    @classmethod
    def _write_out_shipped(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the recipe holds
        """Puts the shipped texts into the config, so that cache key and manifest hold them."""
        if not isinstance(data, dict):
            return data
        own = data.get("system_prompts", ())
        shipped = data.get("shipped")
        if shipped is None:
            shipped = "system_prompts" not in data
        if shipped is not True or not isinstance(own, list | tuple):
            return data | {"shipped": shipped}
        added = [text for text in load_system_prompts().values() if text not in own]
        return data | {"shipped": True, "system_prompts": [*own, *added]}

    @model_validator(mode="after")
    def _differing(self) -> Self:
        hot = self.temperature if isinstance(self.temperature, tuple) else (self.temperature,)
        different = len({None, *self.system_prompts})
        if not any(hot) and different < self.n:
            raise ValueError(
                f"n is {self.n} with temperature 0, which gives one sample a system prompt, and "
                f"there are {different} of them, none at all counted: the others would repeat "
                "these. Lower n, raise temperature, or add system_prompts"
            )
        return self
