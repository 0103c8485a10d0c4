"""Makes the parquet file of a large stage in a process of its own, while rows still come.

Reading a line and putting its values into columns takes about as long as making the line, and
Python does one thing at a time: at the end of a stage of a million rows all else would wait. So a
process is told where finished lines lie, in the order of the jobs, and makes the file from them::

    python -P -m spa.engine.table_process LINES TARGET MODULE:ROW_TYPE

Whatever goes wrong there, nothing is lost: the lines are on disk, and the writer makes the file
itself when it commits.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
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

__all__ = ["TableProcess", "main"]

logger = logging.getLogger(__name__)

_PLACE = Struct("<QI")
_END = _PLACE.pack(0, 0)
_ROOM = 1 << 20


class TableProcess:
    """The process, as the writer of the lines sees it. Nothing here waits for it but `finish`."""

    def __init__(self, lines: Path, row_type: type, final: Path) -> None:
        """Starts it, where that is possible.

        Args:
            lines: The file of lines.
            row_type: The dataclass of their rows.
            final: The parquet file that it is for.
        """
        self._final = final
        self._made = final.with_name(f"{final.name}.{os.getpid()}.process.tmp")
        self._left = bytearray()
        self._started = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None
        if not sys.executable:  # Python is part of another program
            return
        row = f"{row_type.__module__}:{row_type.__qualname__}"
        with suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(lines), str(self._made), row],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the writer meets what is wrong itself, and says it
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the writer
            )
            if self._process.stdin is not None:
                os.set_blocking(self._process.stdin.fileno(), False)

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    @property
    def has_room(self) -> bool:
        """Whether it keeps up with what it is told."""
        return len(self._left) < _ROOM

    def add(self, places: Iterable[Place]) -> None:
        """Tells it of lines that are flushed, without waiting for it.

        Args:
            places: Where they lie, in the order of the jobs.
        """
        if self._process is None or self._process.stdin is None:
            return
        self._remember(places)
        try:
            while self._left and (written := self._process.stdin.write(self._left)):
                del self._left[:written]
        except OSError:
            self._failed()

    def finish(self, places: Iterable[Place]) -> int | None:
        """Tells it of all other lines, waits for the file and publishes it.

        Returns:
            How many rows the file has; None if the process failed, and there is no file.

        Raises:
            OSError: If the file cannot be published.
        """
        if self._process is None:
            return None
        self._remember(places)
        said = b""
        with suppress(OSError):
            said, _ = self._process.communicate(bytes(self._left) + _END)
        if self._process.returncode != 0 or not said.strip().isdigit():
            self._failed()
            return None
        self._process = None
        publish(self._made, self._final)
        return int(said)

    def close(self) -> None:
        """Ends it, and leaves nothing that it wrote."""
        self._left.clear()
        if self._process is not None:
            self._process.kill()
            with suppress(OSError), self._process:  # closes its pipes, and waits
                self._process = None
        with suppress(OSError):
            self._made.unlink(missing_ok=True)

    def _remember(self, places: Iterable[Place]) -> None:
        for place in places:
            self._left += _PLACE.pack(*place)

    def _failed(self) -> None:
        self.close()
        logger.debug("%s is made at the end, as the process that was to make it ended", self._final)


def main(lines: str, target: str, row: str) -> int:
    """Makes the file from what comes on stdin, and prints how many rows it has.

    Returns:
        The exit code: 1 if it cannot be made, or if stdin ends before it says so.
    """
    path, (module, _, name) = Path(lines), row.partition(":")
    done = False
    try:
        codec = RowCodec(getattr(import_module(module), name))
        with path.open("rb") as file:
            found = lines_at(path, file.fileno(), _told(sys.stdin.buffer))
            count = write_table(codec, row_bodies(path, found), Path(target))
        print(count, flush=True)
        done = True
    except (OSError, EOFError, SpaError):
        return 1
    finally:
        if not done:
            Path(target).unlink(missing_ok=True)
    return 0


def _told(stream: BinaryIO) -> Iterator[Place]:
    """The places that come, until the end is told of.

    Raises:
        EOFError: If the writer is gone.
    """
    while len(record := stream.read(_PLACE.size)) == _PLACE.size:
        if record == _END:
            return
        start, length = _PLACE.unpack(record)
        yield start, length
    raise EOFError("the writer of the lines is gone")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
