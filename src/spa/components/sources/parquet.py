"""Prompts from a Parquet file: the beginning of the flow."""

from __future__ import annotations

from collections.abc import Iterator

from spa.api import Prompt, SpaError
from spa.components.sources.configs import ParquetConfig
from spa.components.sources.files import content_fingerprint, read_bytes
from spa.components.sources.rows import PlacedRow, prompts_from_rows

__all__ = ["ParquetSource"]


class ParquetSource:
    """Reads the whole file and checks every row before it gives the first prompt."""

    def __init__(self, config: ParquetConfig) -> None:
        """Keeps the settings; reads nothing."""
        self._config = config

    def prompts(self) -> Iterator[Prompt]:
        """Yields the prompts in the order of the file.

        Raises:
            SpaError: If the file or a row of it is not right, with the row's number from 1.
        """
        path = self._config.path
        return iter(prompts_from_rows(_rows(path), self._config, f"prompt file {path}"))

    def fingerprint(self) -> str:
        """Hash of the file's bytes and the column settings."""
        return content_fingerprint(read_bytes(self._config.path), self._config)


def _rows(path: str) -> Iterator[PlacedRow]:
    import pyarrow as pa  # here, as only this source needs it
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(read_bytes(path)))
    except pa.ArrowException as error:
        raise SpaError(f"prompt file {path} is not a readable Parquet file: {error}.") from None
    for number, row in enumerate(table.to_pylist(), start=1):
        yield f"{path}, row {number}", row
