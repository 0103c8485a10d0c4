"""One writer a folder: runs share the store, and two of them may come to the same stage.

The lock is a plain file, created if it is not there yet, so that it works on network file systems.
It says who holds it. Its time of change is moved on while the holder lives; whoever finds it on
another machine watches for that, and no clock is compared with another.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from spa.engine.files import disk_errors
from spa.errors import RunError

__all__ = ["FILE", "Holder", "clear_leftovers", "holder", "is_abandoned", "writer_lock"]

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)

_ENDED = ("Z", "X")
"""States of a process that was killed and that its parent has not taken note of yet."""

logger = logging.getLogger(__name__)

FILE = "writer.lock"
"""Name of the lock in the folder that it is for."""

BEAT = 5.0
"""Seconds between two signs of life."""

WATCH = 3 * BEAT
"""Seconds without a sign of life after which a holder on another machine counts as gone."""


ASK_AGAIN = 0.5
"""Seconds between two looks at a lock that is waited for."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock.

    Attributes:
        host: Name of the machine.
        pid: Id of the process there.
        born: When the process began, in ticks of the machine, so that another process with the same
            id is not taken for it; 0 where the system does not say.
        token: Of this one lock.
    """

    host: str
    pid: int
    born: int
    token: str

    @classmethod
    def this(cls) -> Holder:
        """This process."""
        _, born = _process(os.getpid())
        return cls(socket.gethostname(), os.getpid(), born, secrets.token_hex(8))

    def __str__(self) -> str:
        """For messages."""
        return f"process {self.pid} on {self.host}"


def holder(folder: Path) -> Holder | None:
    """Who is writing in a folder, as far as can be told at once; None if nobody is.

    Changes nothing. A process on another machine counts as living: only watching tells.
    """
    path = folder / FILE
    found = _read(path)
    if found is None or (found.host == socket.gethostname() and _is_gone(found, path)):
        return None
    return found


@contextmanager
def writer_lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Holds the lock of a folder; what a process that ended without letting go left is taken over.

    Args:
        folder: Made if it is not there.
        wait: Whether to wait for a process that is writing there.

    Raises:
        RunError: If another process is writing there and is not waited for, or the folder cannot
            be written.
    """
    path = folder / FILE
    holder = Holder.this()
    waiting_for: Holder | None = None
    with disk_errors(path):
        while not _created(path, holder):
            other = _living(path)
            if other is None:
                continue
            if not wait:
                raise RunError(_taken(path, other))
            if other != waiting_for:
                logger.info("%s is being written by %s: waiting for it", folder, other)
                waiting_for = other
            time.sleep(ASK_AGAIN)
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beating.start()
    try:
        with disk_errors(path):
            clear_leftovers(folder)
        yield
    finally:
        stop.set()
        beating.join()
        found = _read(path)
        if found is not None and found.token == holder.token:
            with suppress(OSError):
                path.unlink()


def is_abandoned(folder: Path) -> bool:
    """Whether a process of this machine ended without letting go of a folder; changes nothing."""
    holder = _read(folder / FILE)
    return (
        holder is not None
        and holder.host == socket.gethostname()
        and _is_gone(holder, folder / FILE)
    )


def clear_leftovers(folder: Path) -> None:
    """Removes files that a killed process had not given their names yet; for who holds the lock.

    Raises:
        OSError: If the folder cannot be written.
    """
    for pattern in ("*.tmp", f"{FILE}.*.left"):
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)


def _created(path: Path, holder: Holder) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Made whole under a name of its own and then linked: no one ever reads half of it.
    whole = path.with_name(f"{path.name}.{holder.token}.tmp")
    try:
        whole.write_text(json.dumps(asdict(holder)), encoding="utf-8")
        os.link(whole, path)
    # The second: cleared away by who holds the lock, or along with the folder.
    except (FileExistsError, FileNotFoundError):
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _created_without_links(path, whole.read_bytes())
    finally:
        whole.unlink(missing_ok=True)
    return True


def _created_without_links(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _living(path: Path) -> Holder | None:
    """Who holds a lock; None if it is gone, and then so is the lock, or was let go of."""
    holder = _read(path)
    if holder is None:  # let go of in this moment, or not one of ours
        if path.is_file() and not _beats(path):
            _take(path, None)
        return None
    if _is_gone(holder, path):
        _take(path, holder)
        return None
    return holder


def _taken(path: Path, holder: Holder) -> str:
    return (
        f"{path.parent} is being written by {holder}. Wait until it is done, or stop it, and run "
        f"the same command again. If you are sure that it is gone, delete {path}."
    )


def _is_gone(holder: Holder, path: Path) -> bool:
    if holder.host != socket.gethostname():
        return not _beats(path)
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # of another user, so it is there
        return False
    state, born = _process(holder.pid)
    return state in _ENDED or holder.born != born


def _take(path: Path, holder: Holder | None) -> None:
    """Moves a lock away; of two that try, one finds it gone."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.left")
    with suppress(FileNotFoundError):
        path.rename(aside)
        moved = _read(aside)
        if moved is None or holder is None or moved.token == holder.token:
            logger.info("going on where %s ended without letting go", holder or "a process")
        else:  # in between another one took it over: that one lives
            with suppress(FileExistsError):
                os.link(aside, path)
    aside.unlink(missing_ok=True)


def _beats(path: Path) -> bool:
    """Whether a lock shows a sign of life, or is let go of, while it is watched."""
    before = _changed(path)
    logger.info("watching whether the holder of %s on another machine still lives", path)
    until = time.monotonic() + WATCH
    while time.monotonic() < until:
        time.sleep(min(BEAT / 5, WATCH))
        if _changed(path) != before:
            return True
    return False


def _beat(path: Path, stop: threading.Event) -> None:
    count = 0
    while not stop.wait(BEAT):
        count += 1
        with suppress(OSError):
            os.utime(path, ns=(count, count))


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _process(pid: int) -> tuple[str, int]:
    """State of a process and when it began; nothing and 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return "", 0
