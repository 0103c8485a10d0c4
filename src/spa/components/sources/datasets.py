"""Prompts from a Hugging Face dataset by name: the beginning of the flow, where there is a network.

The package `datasets` is not required by spa; it is imported when a recipe uses this source.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from spa.api import Prompt, SpaError
from spa.components.sources.configs import DatasetsConfig
from spa.components.sources.files import content_fingerprint
from spa.components.sources.rows import prompts_from_rows

__all__ = ["DatasetsSource"]


class DatasetsSource:
    """Loads one split once, then reads it like any table.

    Attributes:
        user: What needs the dataset, for messages.
        instead: What to do without a network, for messages.
    """

    user: ClassVar[str] = "source 'datasets'"
    instead: ClassVar[str] = "save the prompts as JSON lines and use source 'jsonl'"

    def __init__(self, config: DatasetsConfig) -> None:
        """Keeps the settings; loads nothing."""
        self._config = config
        self._loaded: list[Mapping[str, object]] | None = None

    def prompts(self) -> Iterator[Prompt]:
        """Yields the prompts in the order of the split.

        Raises:
            SpaError: If the package is missing, the dataset cannot be had, or a row is not right.
        """
        name = f"dataset {self._config.name} ({self._config.dataset_split})"
        rows = ((f"{name}, row {number}", row) for number, row in enumerate(self._rows(), start=1))
        return iter(prompts_from_rows(rows, self._config, name))

    def fingerprint(self) -> str:
        """Hash of the rows and the column settings: names and branches can change their content."""
        content = json.dumps(self._rows(), sort_keys=True, default=str, ensure_ascii=False)
        return content_fingerprint(content.encode("utf-8", "surrogatepass"), self._config)

    def _rows(self) -> list[Mapping[str, object]]:
        if self._loaded is None:
            self._loaded = [dict(row) for row in self._load()]
        return self._loaded

    def _load(self) -> Iterable[Mapping[str, object]]:
        config = self._config
        try:
            datasets = importlib.import_module("datasets")
        except ImportError:
            raise SpaError(
                f"{self.user} needs the package `datasets`, which is not installed. Install it"
                f" with: pip install datasets, or {self.instead}."
            ) from None
        try:
            rows: Iterable[Mapping[str, object]] = datasets.load_dataset(
                config.name,
                name=config.subset,
                split=config.dataset_split,
                revision=config.revision,
            )
        except (
            Exception
        ) as error:  # its errors have no common base, and all are the user's to solve
            raise SpaError(
                f"dataset {config.name!r} (subset {config.subset or 'default'}, split"
                f" {config.dataset_split}) cannot be loaded: {type(error).__name__}: {error}\n"
                "Check name, subset and dataset_split. Without a network, load it once where there"
                f" is one, {self.instead}."
            ) from error
        return rows
