"""Prompts from a file with one JSON object a line: the beginning of the flow."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from spa.api import Prompt, SpaError
from spa.components.sources.configs import JsonlConfig
from spa.components.sources.files import content_fingerprint, read_bytes, read_text
from spa.components.sources.rows import PlacedRow, half_character, prompts_from_rows

__all__ = ["JsonlSource"]

_FOUND = (dict, SpaError)
_decode = msgspec.json.Decoder().decode


class JsonlSource:
    """Reads the whole file and checks every row before it gives the first prompt."""

    def __init__(self, config: JsonlConfig) -> None:
        """Keeps the settings; reads nothing."""
        self._config = config

    def prompts(self) -> Iterator[Prompt]:
        """Yields the prompts in the order of the file; blank lines are skipped.

        Raises:
            SpaError: If the file or a row of it is not right, with the line number.
        """
        path = self._config.path
        return iter(prompts_from_rows(_rows(path), self._config, f"prompt file {path}"))

    def fingerprint(self) -> str:
        """Hash of the file's bytes and the column settings."""
        return content_fingerprint(read_bytes(self._config.path), self._config)


def _rows(path: str) -> Iterator[PlacedRow]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line or line.isspace():
            continue
        place = f"{path}:{number}"
        try:
            row: object = _decode(line)
        except msgspec.DecodeError:
            row = _understood(line, place)
        if not isinstance(row, _FOUND):
            row = SpaError(f'{place}: every line must be a JSON object, like {{"prompt": "..."}}.')
        yield place, row


def _understood(line: str, place: str) -> object:
    """What a line holds that the fast decoder does not take, such as NaN, or what is wrong."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return SpaError(f"{place}: not valid JSON: {error.msg} (column {error.colno}).")
    return (half_character(row, place) or row) if isinstance(row, dict) else row
