"""Where evaluators with prompts of their own read them: a file of the recipe, or a dataset by name.

The sources of prompts do the reading; what else a row holds is in `Prompt.meta`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import ClassVar

from spa.api import JsonValue, Prompt, Source, SpaError
from spa.components.evaluators.data_configs import RowsConfig
from spa.components.sources.configs import (
    CsvConfig,
    DatasetsConfig,
    JsonlConfig,
    ParquetConfig,
)
from spa.components.sources.csv import CsvSource
from spa.components.sources.datasets import DatasetsSource
from spa.components.sources.jsonl import JsonlSource
from spa.components.sources.parquet import ParquetSource

__all__ = ["column", "rows_of"]


def rows_of(config: RowsConfig, turns_column: str | None = None) -> Iterator[Prompt]:
    """The rows as prompts, at most `limit` of them.

    Args:
        config: Where they are.
        turns_column: Column with the user turns of a conversation, in place of a single prompt.

    Raises:
        SpaError: If they cannot be had, or a row is not right.
    """
    return islice(_source(config, turns_column).prompts(), config.limit)


def column(prompt: Prompt, name: str, setting: str) -> JsonValue:
    """A further column of a row.

    Args:
        prompt: The row.
        name: Of the column.
        setting: The key that names it, for the message.

    Raises:
        SpaError: If there is no such column.
    """
    if name not in prompt.meta:
        present = ", ".join(map(repr, prompt.meta)) or "none"
        raise SpaError(
            f"row {prompt.id}: there is no column {name!r}. Present: {present}. Name the right one"
            f" with {setting}."
        )
    return prompt.meta[name]


class _Dataset(DatasetsSource):
    user: ClassVar[str] = "an evaluator's key `dataset`"
    instead: ClassVar[str] = "save its rows as JSON lines and name that file with the key `path`"


def _source(config: RowsConfig, turns_column: str | None) -> Source:
    columns = (
        {"prompt_column": config.prompt_column}
        if turns_column is None
        else {"messages_column": turns_column}
    ) | {"id_column": config.id_column}
    if config.dataset is not None:
        return _Dataset(
            DatasetsConfig(
                name=config.dataset,
                subset=config.subset,
                dataset_split=config.dataset_split,
                revision=config.revision,
                **columns,
            )
        )
    path = str(config.path)
    if not Path(path).is_file():
        raise SpaError(
            f"an evaluator's data file {path} does not exist. Paths in a recipe are relative to the"
            " recipe file: correct the evaluator's key `path`."
        )
    if path.endswith(".csv"):
        return CsvSource(CsvConfig(path=path, **columns))
    if path.endswith(".parquet"):
        return ParquetSource(ParquetConfig(path=path, **columns))
    return JsonlSource(JsonlConfig(path=path, **columns))
