"""Prompts from a CSV file with a header line: the beginning of the flow."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator

from spa.api import Prompt, SpaError
from spa.components.sources.configs import CsvConfig
from spa.components.sources.files import content_fingerprint, read_bytes, read_text
from spa.components.sources.rows import PlacedRow, prompts_from_rows

__all__ = ["CsvSource"]

_EXTRA = "\0extra"


class CsvSource:
    """Reads the whole file and checks every row before it gives the first prompt."""

    def __init__(self, config: CsvConfig) -> None:
        """Keeps the settings; reads nothing."""
        self._config = config

    def prompts(self) -> Iterator[Prompt]:
        """Yields the prompts in the order of the file.

        Raises:
            SpaError: If the file or a row of it is not right, with the line where the row ends.
        """
        path = self._config.path
        return iter(prompts_from_rows(self._rows(), self._config, f"prompt file {path}"))

    def fingerprint(self) -> str:
        """Hash of the file's bytes and the settings."""
        content = read_bytes(self._config.path)
        return content_fingerprint(content, self._config, {"delimiter": self._config.delimiter})

    def _rows(self) -> Iterator[PlacedRow]:
        path = self._config.path
        # Long prompts exceed the module's limit of 128 KiB a field, which is global.
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        reader = csv.DictReader(
            io.StringIO(read_text(path), newline=""),
            delimiter=self._config.delimiter,
            restkey=_EXTRA,
            strict=True,
        )
        try:
            for row in reader:
                place = f"{path}:{reader.line_num}"
                wrong = _wrong_width(row, place, len(reader.fieldnames or ()))
                yield place, row if wrong is None else SpaError(wrong)
        except csv.Error as error:  # where the next row begins is not known
            place = f"{path}:{reader.reader.line_num}"
            yield place, SpaError(f"{place}: not valid CSV: {error}.")


def _wrong_width(row: dict[str, str | list[str] | None], place: str, columns: int) -> str | None:
    extra = row.get(_EXTRA)
    found = columns + len(extra) if extra else sum(value is not None for value in row.values())
    if found == columns:
        return None
    return (
        f"{place}: {found} fields, but the header names {columns}. Put quotes around texts that"
        " hold the delimiter, or set delimiter."
    )
