"""Which folders of the store a run uses: noted before it looks into them.

So that what a run was doing when it was killed is known to be its own, and nobody prunes it::

    runs/<run>/uses.jsonl       a sealed line a folder: {"crc": ..., "folder": "sample-0123..."}
"""

from __future__ import annotations

import json
from pathlib import Path

from spa.engine.files import disk_errors
from spa.engine.lines import LineFile, unseal

__all__ = ["FILE", "UseLog", "noted_uses"]

FILE = "uses.jsonl"
"""Name of the file in the folder of a run."""


class UseLog:
    """Notes the folders that a run uses, each once."""

    def __init__(self, run: Path) -> None:
        """Takes the folder of the run; nothing is written yet."""
        self._path = run / FILE
        self._noted: set[str] | None = None

    def begin(self) -> None:
        """Notes that the run uses nothing yet; its folder must be there.

        Raises:
            RunError: If the run's folder cannot be written.
        """
        with disk_errors(self._path):
            self._path.touch()

    def add(self, folder: str) -> None:
        """Notes a folder, durably, unless it was noted before.

        Args:
            folder: Its name in the store.

        Raises:
            RunError: If the disk is full or the run's folder cannot be written.
        """
        with disk_errors(self._path):
            if self._noted is None:
                self._noted = set(noted_uses(self._path.parent)[0] or ())
            if folder in self._noted:
                return
            with LineFile(self._path) as file:
                file.append(json.dumps({"folder": folder}).encode())
                file.sync()
            self._noted.add(folder)


def noted_uses(run: Path) -> tuple[frozenset[str] | None, bool]:
    """What a run noted.

    Args:
        run: Its folder.

    Returns:
        Names of folders of the store, None if it noted nothing; and whether all of it can be read.
        A last line that was torn off is no damage: its folder had not been looked into.

    Raises:
        OSError: If the file is there and cannot be read.
    """
    try:
        content = (run / FILE).read_bytes()
    except FileNotFoundError:
        return None, True
    *lines, _ = content.split(b"\n")
    bodies = [unseal(line) for line in lines if line]
    found = [json.loads(b"{" + body)["folder"] for body in bodies if body is not None]
    return frozenset(map(str, found)), None not in bodies
