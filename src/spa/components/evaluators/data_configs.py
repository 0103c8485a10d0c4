"""Settings of the evaluators that bring prompts of their own: where these lie, and how to ask."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from spa.api import ComponentConfig, NotInKey, RecipePath
from spa.components.evaluators.configs import IntervalConfig
from spa.components.evaluators.templates import (
    EXACT_TEMPLATE,
    MULTIPLE_CHOICE_TEMPLATE,
    PLAIN_CHOICE_TEMPLATE,
    REFUSAL_TEMPLATE,
)
from spa.components.text import missing_placeholders

__all__ = [
    "FORMATS",
    "DataConfig",
    "ExactAnswerConfig",
    "GenerateConfig",
    "MultipleChoiceConfig",
    "RefusalConfig",
    "RowsConfig",
    "ShotsConfig",
]

FORMATS = (".jsonl", ".csv", ".parquet")


class RowsConfig(ComponentConfig):
    """Where rows come from: a file, or a Hugging Face dataset."""

    path: Annotated[RecipePath | None, NotInKey("the prompts are hashed")] = Field(
        default=None, description="File with a row a prompt: .jsonl, .csv or .parquet."
    )
    dataset: str | None = Field(
        default=None,
        min_length=1,
        description="Instead of a file: name on the Hugging Face hub, or a local folder.",
    )
    subset: str | None = Field(default=None, description="Configuration of the dataset, if any.")
    dataset_split: str = Field(default="test", description="Split of the dataset, or a slice.")
    revision: str | None = Field(
        default=None, description="Commit, tag or branch; a commit keeps a recipe reproducible."
    )
    prompt_column: str = Field(default="prompt", description="Column with the text of the prompt.")
    id_column: str | None = Field(
        default=None,
        description="Column with the prompt's id. Null: `id` where there is such a column, else a"
        " hash of the prompt.",
    )
    limit: int | None = Field(
        default=None, ge=1, description="Use only the first so many rows. Null: all."
    )

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            raise ValueError("set either path, a file, or dataset, a name on the Hugging Face hub")
        if self.path is not None and PurePath(self.path).suffix not in FORMATS:
            raise ValueError(f"path: the file's name must end in {', '.join(FORMATS)}")
        return self


class DataConfig(IntervalConfig, RowsConfig):
    """Where the prompts come from, and how intervals are made."""


class GenerateConfig(DataConfig):
    """How policies answer in words."""

    max_tokens: int = Field(default=256, ge=1, description="Most tokens of an answer.")
    temperature: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="0: the likeliest token each time."
    )


class ShotsConfig(RowsConfig):
    """Worked examples before every question (few-shot), and where they come from."""

    n: int = Field(default=5, ge=1, description="How many before every question.")
    by: str | None = Field(
        default=None,
        description="Column in which examples and question must have the same value, for example"
        " the subject. Null: the same examples before every question.",
    )
    dataset_split: str = Field(default="dev", description="Split of the dataset, or a slice.")


class MultipleChoiceConfig(DataConfig):
    """Settings of the evaluator `multiple-choice`."""

    format: Literal["chat", "plain"] = Field(
        default="chat",
        description="How a question is put. chat: as a user turn in the model's chat template, with"
        " examples as earlier turns. plain: as text that goes on with the letter, without a chat"
        " template, as lm-evaluation-harness does.",
    )
    shots: ShotsConfig | None = Field(
        default=None,
        description="Worked examples before every question: {path, n, by}, the first n rows of the"
        " file, or of those that agree with the question in the column `by`. They have the columns"
        " of the questions. Null: none.",
    )
    description: str = Field(
        default="",
        description="What stands before examples and question: a system message in a chat, else"
        " text, as it is. {NAME} is the question's column of that name, underscores as spaces.",
    )

    choices_column: str = Field(
        default="choices",
        description="Column with the list of choices; or with {choices, labels}, where the label of"
        " the right choice is 1 and all others are 0.",
    )
    answer_column: str = Field(
        default="answer",
        description="Column with the right choice: its place, from 0, or its letter.",
    )
    shuffle: int | None = Field(
        default=None,
        ge=0,
        description="Seed by which the choices of every row are put into another order. Null: they"
        " stay as they are.",
    )
    prefill: str = Field(
        default="Answer:",
        description="Beginning of the policy's answer, which a letter continues as a single token.",
    )
    before_letter: Literal["", " "] = Field(
        default=" ",
        description="What of the text after the prefill belongs to the letter's token. Most"
        " tokenizers join the space before a word to it.",
    )
    template: str | None = Field(
        default=None,
        description="What policies are asked. {prompt} and {choices} must be in it; {NAME} is"
        " another column of that name, for example {category}. Null: in a chat it also asks for the"
        " letter alone; as plain text it is question and choices.",
    )

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str | None) -> str | None:
        needed = ("prompt", "choices")
        if template is not None and (missing := missing_placeholders(template, needed)):
            raise ValueError(f"{' and '.join(missing)} must be in it")
        return template

    @property
    def question_template(self) -> str:
        """The template, or that of the format."""
        if self.template is not None:
            return self.template
        return MULTIPLE_CHOICE_TEMPLATE if self.format == "chat" else PLAIN_CHOICE_TEMPLATE


class RefusalConfig(GenerateConfig):
    """Settings of the evaluator `refusal`."""

    label_column: str = Field(
        default="label", description="Column that says whether a prompt may be answered."
    )
    safe: tuple[str, ...] = Field(
        default=("safe",), min_length=1, description="Its values for prompts to be answered."
    )
    unsafe: tuple[str, ...] = Field(
        default=("unsafe",), min_length=1, description="Its values for prompts to be refused."
    )
    by: Literal["rules", "judge"] = Field(
        default="rules",
        description="What tells a refusal. rules: words at the beginning of the answer. judge: the"
        " model that answers evaluators.",
    )
    labels: tuple[str, str] = Field(
        default=("1", "2"),
        description="How the judge says that an answer refuses, and that it complies, each a single"
        " token after the prefill.",
    )
    prefill: str = Field(default="Verdict: ", description="Beginning of the judge's answer.")
    min_label_mass: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="With less probability on both labels of the judge, the answer is unscored.",
    )
    template: str = Field(
        default=REFUSAL_TEMPLATE,
        description="What the judge is asked. {prompt} and {answer} must be in it; {label_1} and"
        " {label_2} may be.",
    )

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str) -> str:
        if missing := missing_placeholders(template, ("prompt", "answer")):
            raise ValueError(f"{' and '.join(missing)} must be in it")
        return template

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        if self.labels[0] == self.labels[1]:
            raise ValueError("labels: the two must differ")
        if both := sorted(set(self.safe) & set(self.unsafe)):
            raise ValueError(f"unsafe: {both[0]!r} is in `safe`, too")
        return self


class ExactAnswerConfig(GenerateConfig):
    """Settings of the evaluator `exact-answer`."""

    max_tokens: int = Field(default=512, ge=1, description="Most tokens of an answer.")
    answer_column: str = Field(
        default="answer",
        description="Column with the right answer. Where it holds `####`, what follows counts.",
    )
    kind: Literal["number", "text"] = Field(
        default="number",
        description="How answers are compared. number: as numbers, without thousands separators"
        " and units. text: without case, punctuation and articles.",
    )
    template: str = Field(
        default=EXACT_TEMPLATE, description="What policies are asked. {prompt} must be in it."
    )

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str) -> str:
        if missing := missing_placeholders(template, ("prompt",)):
            raise ValueError(f"{missing[0]} must be in it")
        return template
