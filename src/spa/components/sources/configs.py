"""Settings of the sources."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from spa.api import ComponentConfig, NotInKey, RecipePath

__all__ = ["ColumnsConfig", "CsvConfig", "DatasetsConfig", "JsonlConfig", "ParquetConfig"]

DEFAULT_PROMPT_COLUMN = "prompt"
PromptFile = Annotated[RecipePath, NotInKey("its content is fingerprinted")]


class ColumnsConfig(ComponentConfig):
    """Which columns hold what; the same for every source. Other columns become `Prompt.meta`."""

    prompt_column: str | None = Field(
        default=None,
        description="Column with the text of the user turn. Null: `prompt`, unless"
        " messages_column is set.",
    )
    messages_column: str | None = Field(
        default=None,
        description="Column with a whole conversation instead: a list of {role, content}, the last"
        " of them from the user, or of texts, each a user turn.",
    )
    id_column: str | None = Field(
        default=None,
        description="Column with the prompt's id. Null: `id` where there is such a column, else a"
        " hash of the conversation.",
    )

    @property
    def text_column(self) -> str:
        """The column that the conversation is read from."""
        return self.messages_column or self.prompt_column or DEFAULT_PROMPT_COLUMN

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if self.prompt_column is not None and self.messages_column is not None:
            raise ValueError("set prompt_column or messages_column, not both")
        return self


class JsonlConfig(ColumnsConfig):
    """Settings of the source `jsonl`."""

    path: PromptFile = Field(description="File with one JSON object a line.")


class CsvConfig(ColumnsConfig):
    """Settings of the source `csv`."""

    path: PromptFile = Field(description="CSV file whose first line names the columns.")
    delimiter: str = Field(
        default=",", min_length=1, max_length=1, description="What separates columns."
    )


class ParquetConfig(ColumnsConfig):
    """Settings of the source `parquet`."""

    path: PromptFile = Field(description="Parquet file.")


class DatasetsConfig(ColumnsConfig):
    """Settings of the source `datasets`."""

    name: str = Field(min_length=1, description="Name on the Hugging Face hub, or a local folder.")
    subset: str | None = Field(default=None, description="Configuration of the dataset, if any.")
    dataset_split: str = Field(default="train", description="Split of the dataset, or a slice.")
    revision: str | None = Field(
        default=None, description="Commit, tag or branch; a commit keeps a recipe reproducible."
    )
