"""Makes the parquet file of a large stage in another process, while its rows still come.

Reading a line and putting its values into columns takes about as long as making the line, and
Python does one thing at a time: at the end of a stage of a million rows all else would wait. So a
process is told where finished lines lie, in the order of the jobs, and makes the file from them::

    python -P -m spa.engine.table_ahead LINES TARGET MODULE:ROW_TYPE

Whatever goes wrong there, nothing is lost: the lines are on disk, and who commits makes the file
itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from struct import Struct
from typing import BinaryIO

from spa.engine.files import publish
from spa.engine.lines import Place, lines_at
from spa.engine.records import RowCodec
from spa.engine.tables import row_bodies, write_table
from spa.errors import SpaError

__all__ = ["TableAhead", "main"]

_PLACE = Struct("<QI")
_END = _PLACE.pack(0, 0)
_PIPE_BYTES = 1 << 20  # places of 80,000 lines: nobody waits while the process starts


class TableAhead:
    """The process, seen from who writes the lines."""

    def __init__(self, lines: Path, row_type: type, final: Path) -> None:
        """Starts it, where that is possible.

        Args:
            lines: The file of lines.
            row_type: The dataclass of their rows.
            final: The parquet file that it is for.
        """
        self._final = final
        self._made = final.with_name(f"{final.name}.{os.getpid()}.ahead.tmp")
        self._process: subprocess.Popen[bytes] | None = None
        row = f"{row_type.__module__}:{row_type.__qualname__}"
        with suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(lines), str(self._made), row],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # who commits meets what is wrong, and says it
                pipesize=_PIPE_BYTES,
                start_new_session=True,  # Ctrl-C is for who writes
            )

    def hand_on(self, places: Iterable[Place]) -> None:
        """Tells it of lines that are with the operating system.

        Args:
            places: Where they lie, in the order of the jobs.
        """
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(b"".join(_PLACE.pack(*place) for place in places))
            self._process.stdin.flush()
        except OSError:  # it has ended
            self.close()

    def finish(self, places: Iterable[Place]) -> int | None:
        """Tells it of all other lines, waits for the file and publishes it.

        Returns:
            How many rows the file has; None if the process failed, and there is no file.

        Raises:
            OSError: If the file cannot be published.
        """
        self.hand_on(places)
        if self._process is None:
            return None
        said, _ = self._process.communicate(_END)
        if self._process.returncode != 0:
            self.close()
            return None
        self._process = None
        publish(self._made, self._final)
        return int(said)

    def close(self) -> None:
        """Ends it, and leaves nothing that it wrote."""
        if self._process is not None:
            self._process.kill()
            with suppress(OSError), self._process:  # closes its pipes, and waits
                self._process = None
        with suppress(OSError):
            self._made.unlink(missing_ok=True)


def main(lines: str, target: str, row: str) -> int:
    """Makes the file from what comes on stdin, and prints how many rows it has.

    Returns:
        The exit code: 1 if it cannot be made, or if stdin ends before it says so.
    """
    path, (module, _, name) = Path(lines), row.partition(":")
    codec = RowCodec(getattr(import_module(module), name))
    try:
        with path.open("rb") as file:
            found = lines_at(path, file.fileno(), _told(sys.stdin.buffer))
            count = write_table(codec, row_bodies(path, found), Path(target))
    except (OSError, EOFError, SpaError):
        Path(target).unlink(missing_ok=True)
        return 1
    print(count, flush=True)
    return 0


def _told(stream: BinaryIO) -> Iterator[Place]:
    while record := stream.read(_PLACE.size):
        if record == _END:
            return
        start, length = _PLACE.unpack(record)
        yield start, length
    raise EOFError("who writes the lines is gone")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
