"""A strict reader of tar files: plain files with short names, and nothing else.

Links, devices, sparse files, long-name and PAX headers are refused before anything of them is read,
so that an archive can neither lead out of its folder nor fill memory.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from spa.errors import RunError

__all__ = ["Member", "TapeReader", "opened"]

_BLOCK = 512
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder of its own",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive.

    Attributes:
        name: Its path in the archive.
        size: Its size in bytes.
    """

    name: str
    size: int


class TapeReader:
    """Reads an archive once, from beginning to end."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        """Takes the archive's path, for messages, and its content."""
        self._path = path
        self._stream = stream
        self._left = 0
        self._padding = 0

    def members(self) -> Iterator[Member]:
        """Yields every file; its content is to be read before the next one.

        Raises:
            RunError: If it is no such archive.
        """
        while True:
            for _ in self.content():  # what was not read
                pass
            self._exactly(self._padding)
            self._padding = 0
            block = self._exactly(_BLOCK)
            if block == bytes(_BLOCK):
                return
            try:
                header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
            except (tarfile.TarError, ValueError) as error:
                raise RunError(
                    f"{self._path} is damaged, or no archive of a run: {error}."
                ) from None
            if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                what = _KINDS.get(header.type, "an entry of a kind that spa does not write")
                raise RunError(f"{self._path} holds {what}, {header.name!r}. It is not taken.")
            if header.size < 0:
                raise RunError(f"{self._path} holds {header.name!r} with a size below 0.")
            self._left = header.size
            self._padding = -header.size % _BLOCK
            yield Member(header.name, header.size)

    def content(self) -> Iterator[bytes]:
        """Yields what is left of the content of the latest file."""
        while self._left:
            chunk = self._exactly(min(self._left, _CHUNK))
            self._left -= len(chunk)
            yield chunk

    def _exactly(self, count: int) -> bytes:
        try:
            found = self._stream.read(count)
        except (OSError, EOFError, zlib.error) as error:
            raise RunError(f"{self._path} cannot be read: {error}. Copy it anew.") from error
        if len(found) != count:
            raise RunError(f"{self._path} ends too early. Copy it anew.")
        return found


@contextmanager
def opened(path: Path) -> Iterator[TapeReader]:
    """Opens an archive, compressed with gzip or not.

    Raises:
        RunError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP
            file.seek(0)
            if compressed:
                with gzip.GzipFile(fileobj=file) as content:
                    yield TapeReader(path, content)  # type: ignore[arg-type]  # it reads bytes
            else:
                yield TapeReader(path, file)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}.") from error
