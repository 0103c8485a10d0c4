"""Settings of the evaluator `mt-bench`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from spa.components.evaluators.configs import KIN_JUDGE, KinJudgeMark
from spa.components.evaluators.data_configs import GenerateConfig
from spa.components.evaluators.templates import MT_BENCH_TEMPLATE
from spa.components.text import missing_placeholders

__all__ = ["MtBenchConfig"]

TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}
"""Those of the benchmark's authors (arXiv 2306.05685); 0 in the other categories."""


class MtBenchConfig(GenerateConfig):
    """Settings of the evaluator `mt-bench`."""

    kin_judge: KinJudgeMark = Field(default="warn", description=KIN_JUDGE)
    turns_column: str = Field(
        default="turns", description="Column with the user turns, a list of texts."
    )
    category_column: str = Field(default="category", description="Column with the category.")
    reference_column: str = Field(
        default="reference",
        description="Column with a list of reference answers, one a turn. Rows without one, or with"
        " null in it, are judged without.",
    )
    max_tokens: int = Field(default=1024, ge=1, description="Most tokens of an answer.")
    temperatures: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default=TEMPERATURES,
        description="Category to the temperature of its answers; `temperature` in all others.",
    )
    judge_max_tokens: int = Field(
        default=512, ge=1, description="Most tokens of the judge's remarks and score."
    )
    template: str = Field(
        default=MT_BENCH_TEMPLATE,
        description="What the judge is asked of every turn. {conversation} and {answer} must be in"
        " it; {reference} is where a reference answer stands, if there is one. The score, from 1 to"
        " 10, is read off the last line.",
    )

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str) -> str:
        if missing := missing_placeholders(template, ("conversation", "answer")):
            raise ValueError(f"{' and '.join(missing)} must be in it")
        return template
