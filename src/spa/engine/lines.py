"""Append-only files of JSON lines: what survives when a process dies at any moment.

Every line is one JSON object that begins with a checksum of the rest::

    {"crc":"1c291ca3","job":"p7", ... }

A line counts once its newline is there and its checksum is right. A torn last line is cut off at
opening; a line that was damaged on disk is left out and told of, and what it held is done again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from zlib import crc32

from spa.engine.files import disk_errors
from spa.errors import RunError

__all__ = ["LineFile", "Place", "lines_at", "seal", "sound_lines", "unseal"]

logger = logging.getLogger(__name__)

FLUSH_EVERY = 0.05
"""Seconds after which an appended line is with the operating system at the latest."""

SYNC_EVERY = 10.0
"""Seconds after which an appended line is on the disk at the latest, should the power fail."""

_FLUSH_BYTES = 1 << 18
_READ_BYTES = 1 << 20
_HEAD = b'{"crc":"'
_HEAD_LENGTH = len(_HEAD) + 8 + len(b'",')
_SHOWN = 5

Place = tuple[int, int]
"""Where a line lies: its first byte, and its length without the newline."""


def seal(body: bytes) -> bytes:
    """A JSON object with its checksum in front.

    Args:
        body: The text of an object that is not empty, on one line.
    """
    rest = body[1:]
    return b'%b%08x",%b' % (_HEAD, crc32(rest), rest)


def unseal(line: bytes) -> bytes | None:
    """What follows the checksum of a sealed line, its closing brace included.

    Returns:
        None if the line is not what was written.
    """
    rest = line[_HEAD_LENGTH:]
    return rest if line[:_HEAD_LENGTH] == b'%b%08x",' % (_HEAD, crc32(rest)) else None


def sound_lines(path: Path) -> Iterator[tuple[Place, bytes]]:
    """Yields the place of every sound line with what follows its checksum; writes nothing.

    Damaged lines are left out; a warning says how many and where. A last line without its end is
    none yet: another process may be writing it.
    """
    damaged: list[int] = []
    start = 0
    with path.open("rb", buffering=_READ_BYTES) as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            body = unseal(line[:-1])
            if body is None:
                damaged.append(number)
            else:
                yield (start, len(line) - 1), body
            start += len(line)
    if damaged:
        logger.warning("%s", _told(path, damaged))


def lines_at(
    path: Path, descriptor: int, places: Iterable[Place]
) -> Iterator[tuple[Place, bytes | None]]:
    """Yields what follows the checksum of each line; None for one that was damaged.

    Lines that lie one after the other are read together.

    Args:
        path: The file, for errors.
        descriptor: Of the file, open for reading.
        places: Where the lines lie.

    Raises:
        RunError: If the file cannot be read.
    """
    run: list[Place] = []
    for place in places:
        if run and (place[0] != sum(run[-1]) + 1 or sum(place) - run[0][0] > _READ_BYTES):
            yield from _read_run(path, descriptor, run)
            run = []
        run.append(place)
    if run:
        yield from _read_run(path, descriptor, run)


def _read_run(
    path: Path, descriptor: int, places: Sequence[Place]
) -> Iterator[tuple[Place, bytes | None]]:
    first, end = places[0][0], sum(places[-1])
    with disk_errors(path):
        content = os.pread(descriptor, end - first, first)
    for start, length in places:
        yield (start, length), unseal(content[start - first : start - first + length])


class LineFile:
    """A file of sealed JSON lines that is read at opening and then only appended to.

    Appended lines are gathered and handed to the operating system together, at the latest after
    `FLUSH_EVERY` seconds, by a thread: the process that appends may wait for a model meanwhile.
    """

    def __init__(self, path: Path) -> None:
        """Opens for appending; creates folders and cuts off a torn last line.

        Raises:
            RunError: If the disk is full or the folder cannot be written.
        """
        self.path = path
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _repair(path)
            self._file = path.open("ab", buffering=0)
            self._reader = path.open("rb", buffering=0)
            self._end = path.stat().st_size
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._fault: RunError | None = None
        self._fault_told = False
        self._flusher: threading.Thread | None = None
        self._closing = threading.Event()
        self._unsynced = False
        self._followed: LineFile | None = None

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

    def append(self, head: bytes, *more: bytes) -> Place:
        """Appends one JSON object, sealed, and returns where it lies.

        Args:
            head: The text of the object, or where it begins.
            more: The rest of it. Long parts are better given apart, as they are not copied.

        Raises:
            RunError: If the disk is full, maybe found out about lines appended before.
        """
        rest = head[1:]
        checksum = crc32(rest)
        length = _HEAD_LENGTH + len(rest) + 1
        for part in more:
            checksum = crc32(part, checksum)
            length += len(part)
        with self._lock:
            if self._fault is not None:
                self._raise_fault()
            place = (self._end, length - 1)
            self._waiting += (b'%b%08x",%b' % (_HEAD, checksum, rest), *more, b"\n")
            self._waiting_bytes += length
            self._end += length
            if self._waiting_bytes >= _FLUSH_BYTES:
                self._write()
        if self._flusher is None:
            self._start_flusher()
        return place

    def follow(self, other: LineFile) -> None:
        """From now on writes nothing before what was appended to another file until then.

        So a line never survives one that it was made of.
        """
        self._followed = other

    def flush(self) -> None:
        """Hands everything appended to the operating system.

        Raises:
            RunError: If the disk is full.
        """
        with self._lock:
            self._raise_fault()
            self._write()

    def sync(self) -> None:
        """Makes everything appended durable.

        Raises:
            RunError: If the disk is full or does not take it.
        """
        self.flush()
        with disk_errors(self.path):
            os.fsync(self._file.fileno())

    def sync_written(self) -> None:
        """Makes durable what was handed to the operating system; for the flusher.

        An error is raised by the next append.
        """
        with self._lock:
            if not self._unsynced:
                return
            self._unsynced = False
        try:
            with disk_errors(self.path):
                os.fsync(self._file.fileno())  # takes long, so others append meanwhile
        except RunError as error:
            self._fault = error

    def close(self) -> None:
        """Closes the file.

        Raises:
            RunError: If the disk is full.
        """
        self._closing.set()
        if self._flusher is not None:
            self._flusher.join()
        try:
            with self._lock:
                if not self._fault_told:
                    self._raise_fault()
                    self._write()
        finally:
            self._reader.close()
            self._file.close()

    def read(self) -> Iterator[tuple[Place, bytes]]:
        """Yields the place of every sound line with what follows its checksum.

        Damaged lines are left out; a warning says how many and where.
        """
        self.flush()
        yield from sound_lines(self.path)

    @property
    def shared(self) -> bool:
        """Whether another process has written to the file since it was opened.

        Lines then do not lie where `append` said.

        Raises:
            RunError: If the disk is full.
        """
        self.flush()
        with disk_errors(self.path):
            return os.fstat(self._file.fileno()).st_size != self._end

    def at(self, place: Place) -> bytes | None:
        """What follows the checksum of one line; None if it was damaged.

        Raises:
            RunError: If the disk is full or cannot be read.
        """
        start, length = place
        if self._waiting:
            self.flush()
        with disk_errors(self.path):
            return unseal(os.pread(self._reader.fileno(), length, start))

    def several(self, places: Iterable[Place]) -> Iterator[tuple[Place, bytes | None]]:
        """Like `at` for many lines.

        Raises:
            RunError: If the disk is full or cannot be read.
        """
        self.flush()
        yield from lines_at(self.path, self._reader.fileno(), places)

    def _raise_fault(self) -> None:
        """Tells of an error of the flusher, or again of an earlier one."""
        if self._fault is not None:
            self._fault_told = True
            raise self._fault

    def _write(self) -> None:
        """Writes what waits; the lock is held."""
        if self._followed is not None and self._waiting:
            try:
                self._followed.flush()
            except RunError as error:
                self._waiting.clear()
                self._fail(error)
                raise
        left = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        self._waiting_bytes = 0
        self._unsynced |= bool(left)
        try:
            with disk_errors(self.path):
                while left:
                    left = left[self._file.write(left) :]
        except RunError as error:
            self._fail(error)
            raise

    def _fail(self, error: RunError) -> None:
        """Keeps an error for whoever appends next, unless it is raised where it is handled."""
        self._fault = error
        self._fault_told = threading.current_thread() is not self._flusher

    def _start_flusher(self) -> None:
        self._flusher = threading.Thread(
            target=_flush_until_closed, args=(weakref.ref(self), self._closing), daemon=True
        )
        self._flusher.start()


def _flush_until_closed(file: weakref.ref[LineFile], closing: threading.Event) -> None:
    """The thread of a file; it does not keep a file alive that was forgotten."""
    synced = time.monotonic()
    while not closing.wait(FLUSH_EVERY):
        sync = time.monotonic() - synced > SYNC_EVERY
        if not _flushed(file, sync):
            return
        if sync:
            synced = time.monotonic()


def _flushed(file: weakref.ref[LineFile], sync: bool) -> bool:
    """Flushes a file that is still there; holds it no longer than that takes."""
    found = file()
    if found is None:
        return False
    try:
        found.flush()
        if sync:
            found.sync_written()
    except RunError:  # the next append raises it where it can be handled
        return False
    return True


def _told(path: Path, damaged: list[int]) -> str:
    lines = ", ".join(map(str, damaged[:_SHOWN]))
    more = f" and {len(damaged) - _SHOWN} more" if len(damaged) > _SHOWN else ""
    return (
        f"{path}: {len(damaged)} lines are damaged (line {lines}{more}) and left out; what they "
        "held is done again. Is the disk sound?"
    )


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
