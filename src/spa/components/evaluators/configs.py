"""Settings of the evaluators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from spa.api import ComponentConfig, NotInKey, RecipeFacts
from spa.components.evaluators.templates import COMPARE_TEMPLATE
from spa.components.text import missing_placeholders

__all__ = ["KIN_JUDGE", "IntervalConfig", "JudgeScoresConfig", "KinJudgeMark", "PairwiseConfig"]

_PAIR = 2

KinJudgeMark = Annotated[Literal["warn", "known"], NotInKey("silences a warning only")]
"""Type of the key `kin_judge`, of evaluators whose figures are a judge's opinion."""

KIN_JUDGE = (
    "What to do if the judge is the policy itself or of its family, as models prefer text of their"
    " own. warn: say so. known: say nothing, it is meant."
)


class IntervalConfig(ComponentConfig):
    """How intervals are made: a bootstrap over prompts."""

    confidence: float = Field(default=0.95, gt=0, lt=1, description="Coverage of the intervals.")
    resamples: int = Field(
        default=10_000, ge=1, description="How many times the prompts are drawn anew."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the drawing.")


class JudgeScoresConfig(IntervalConfig):
    """Settings of the evaluator `judge-scores`."""

    kin_judge: KinJudgeMark = Field(default="warn", description=KIN_JUDGE)
    lambdas: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = Field(
        default=(),
        description="Recipes with two objectives: also report (lambda * first + second) / (lambda"
        " + 1) for each of these. The paper has 5, 10 and 20.",
    )
    tie_tolerance: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Winning, regret and dominance: mean scores are rounded to a grid of this step"
        " first. 0: only equal scores tie.",
    )

    def check_recipe(self, facts: RecipeFacts) -> Iterable[tuple[str, str]]:
        """A lambda weighs two objectives."""
        if self.lambdas and len(facts.objectives) != _PAIR:
            yield (
                "lambdas",
                "a lambda weighs two objectives against each other, and this recipe has"
                f" {len(facts.objectives)}. Leave `lambdas` out",
            )


class PairwiseConfig(IntervalConfig):
    """Settings of the evaluator `pairwise`."""

    kin_judge: KinJudgeMark = Field(default="warn", description=KIN_JUDGE)
    per_objective: bool = Field(
        default=False,
        description="Compare on each objective by itself, instead of on all in their order.",
    )
    labels: tuple[str, str] = Field(
        default=("1", "2"),
        description="How the judge names the answer shown first and the one shown second, each a"
        " single token after the prefill. Small models keep to digits better than to letters.",
    )
    prefill: str = Field(
        default="Better answer: ",
        description="Beginning of the judge's answer, which a label continues.",
    )
    min_label_mass: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="With less probability on both labels together, in either order, the"
        " comparison is unscored.",
    )
    template: str = Field(
        default=COMPARE_TEMPLATE,
        description="What the judge is asked. {prompt}, {answer_1} and {answer_2} must be in it;"
        " {criteria}, {label_1} and {label_2} may be.",
    )

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str) -> str:
        if missing := missing_placeholders(template, ("prompt", "answer_1", "answer_2")):
            raise ValueError(f"{' and '.join(missing)} must be in it")
        return template

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        if self.labels[0] == self.labels[1]:
            raise ValueError("labels: the two must differ")
        return self
