"""Settings of the judges."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from spa.api import ComponentConfig
from spa.components.judges.directed import DIRECTED_TEMPLATE
from spa.components.judges.templates import SCORE_TEMPLATE
from spa.components.text import missing_placeholders

__all__ = ["ConstitutionConfig", "Order"]

Order: TypeAlias = Literal["as-given", "reversed"]
"""Which label means what: as the config says, or the other way round."""


def _as_text(value: object) -> object:
    """Lets recipes write ``labels: [1, 2, 3]``."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Label = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class ConstitutionConfig(ComponentConfig):
    """Settings of the judge `constitution`."""

    mode: Literal["expected", "generate"] = Field(
        default="expected",
        description="`expected`: the mean score under the model's probabilities of the labels, in"
        " one forward pass. `generate`: the model writes a number, as in the paper.",
    )
    labels: tuple[Label, ...] = Field(
        default=tuple("123456789"),
        min_length=2,
        description="Mode `expected`: the labels, each a single token after the prefill.",
    )
    values: tuple[Finite, ...] | None = Field(
        default=None,
        description="Mode `expected`: the score of each label. Null: the labels as numbers.",
    )
    min_label_mass: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Mode `expected`: with less probability on all labels together, the response"
        " is unscored.",
    )
    lowest: Finite = Field(default=1.0, description="Mode `generate`: lowest valid score.")
    highest: Finite = Field(default=10.0, description="Mode `generate`: highest valid score.")
    max_tokens: int = Field(
        default=32, ge=1, description="Mode `generate`: most tokens the judge may write."
    )
    temperature: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Mode `generate`: 0 is greedy."
    )
    prefill: str = Field(
        default="Score: ", description="Beginning of the judge's answer, which the model continues."
    )
    template: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=SCORE_TEMPLATE,
        description="What the judge is asked, or a list of such rubrics, whose scores are averaged."
        " {prompt} and {response} must be in each; {definitions} of all objectives, {definition}"
        " and {name} of the one asked for, {lowest}, {highest} (the ends of the scale), {worst}"
        " and {best} (the marks that stand for them) may be.",
    )
    orders: Annotated[tuple[Order, ...], Field(min_length=1)] = Field(
        default=("as-given",),
        description="`reversed` asks with the values of the labels in reverse, so that 1 is best."
        " Both orders are averaged, which takes away a preference for one label or one end."
        " Without a `template`, one that says which end is best is then taken.",
    )
    repeats: int = Field(
        default=1,
        ge=1,
        description="Mode `generate`: how many numbers the model writes for each question; their"
        " mean counts. More than 1 needs a temperature above 0.",
    )
    min_scored: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the rubrics, and of the repeats of a question, that must give a"
        " score; with fewer the response is unscored. One at least always must.",
    )

    @property
    def templates(self) -> tuple[str, ...]:
        """The rubrics, one or more."""
        return (self.template,) if isinstance(self.template, str) else self.template

    @property
    def label_values(self) -> tuple[float, ...]:
        """The score of each label."""
        return tuple(float(label) for label in self.labels) if self.values is None else self.values

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest possible score."""
        if self.mode == "generate":
            return self.lowest, self.highest
        return min(self.label_values), max(self.label_values)

    @model_validator(mode="before")
    @classmethod
    def _write_out_directed(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the recipe holds
        """Puts a template that stays true in reverse into the config, where none is given."""
        if not isinstance(data, dict) or "template" in data:
            return data
        orders = data.get("orders", ())
        reverses = isinstance(orders, list | tuple) and "reversed" in orders
        return data | {"template": DIRECTED_TEMPLATE} if reverses else data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: each label can be there only once")
        if self.values is None:
            self._check_numbers()
        elif len(self.values) != len(self.labels):
            raise ValueError(f"values: {len(self.values)} values for {len(self.labels)} labels")
        if self.scale[0] >= self.scale[1]:
            raise ValueError("the scale is empty: its highest score must be above its lowest")
        self._check_templates()
        self._check_orders()
        if self.repeats > 1 and self.mode == "expected":
            raise ValueError(
                "repeats: mode `expected` reads the whole distribution at once, and would read the"
                " same again. Leave `repeats` out, or set mode to `generate`"
            )
        if self.repeats > 1 and self.temperature == 0:
            raise ValueError(
                f"repeats: at temperature 0 the model writes the same number {self.repeats} times."
                " Set temperature above 0, for example 0.7, or leave `repeats` out"
            )
        return self

    def _check_templates(self) -> None:
        alone = isinstance(self.template, str)
        for number, template in enumerate(self.templates):
            where = "template" if alone else f"template.{number}"
            if missing := missing_placeholders(template, ("prompt", "response")):
                raise ValueError(f"{where}: {' and '.join(missing)} must be in it")
            unsaid = missing_placeholders(template, ("worst", "best"))
            if "reversed" in self.orders and unsaid:
                raise ValueError(
                    f"{where}: {' and '.join(unsaid)} must be in it, as `orders` has `reversed`:"
                    " they say which mark is worst and which is best in each order"
                )
        if len(set(self.templates)) < len(self.templates):
            raise ValueError("template: each rubric can be there only once")

    def _check_orders(self) -> None:
        if len(set(self.orders)) < len(self.orders):
            raise ValueError("orders: each order can be there only once")
        if self.mode == "expected" and "reversed" in self.orders:
            values = list(self.label_values)
            if values not in (sorted(values), sorted(values, reverse=True)):
                raise ValueError(
                    "orders: `reversed` needs labels whose values only rise or only fall. Put"
                    " labels and values in such an order, or leave `orders` out"
                )

    def _check_numbers(self) -> None:
        for label in self.labels:
            try:
                finite = math.isfinite(float(label))
            except ValueError:
                finite = False
            if not finite:
                raise ValueError(
                    f"labels: {label!r} is not a number; give the score of each label in `values`"
                )
