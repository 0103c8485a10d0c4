"""Append-only files of JSON lines: what survives when a process dies at any moment.

A line counts once its newline is there. A torn last line is cut off at opening.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from spa.engine.files import disk_errors

__all__ = ["LineFile"]


class LineFile:
    """A file of JSON lines that is read at opening and then only appended to."""

    def __init__(self, path: Path) -> None:
        """Opens for appending; creates folders and cuts off a torn last line.

        Raises:
            RunError: If the disk is full or the folder cannot be written.
        """
        self.path = path
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _repair(path)
            # Unbuffered: what append wrote is with the operating system, and nothing waits to fail
            # at closing.
            self._file = path.open("ab", buffering=0)

    def __enter__(self) -> LineFile:
        """Returns the file itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file."""
        self.close()

    def append(self, line: bytes) -> None:
        """Appends one JSON text and hands it to the operating system.

        Raises:
            RunError: If the disk is full.
        """
        left = memoryview(line + b"\n")
        with disk_errors(self.path):
            while left:
                left = left[self._file.write(left) :]

    def close(self) -> None:
        """Closes the file.

        Raises:
            RunError: If the disk is full.
        """
        with disk_errors(self.path):
            self._file.close()

    def read(self) -> Iterator[Any]:
        """Yields the values of all whole lines."""
        with self.path.open("rb") as file:
            for line in file:
                yield json.loads(line)


def _repair(path: Path) -> None:
    """Cuts a torn last line off."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        position = size
        while position > 0:
            step = min(65536, position)
            file.seek(position - step)
            newline = file.read(step).rfind(b"\n")
            if newline >= 0:
                file.truncate(position - step + newline + 1)
                return
            position -= step
        file.truncate(0)
