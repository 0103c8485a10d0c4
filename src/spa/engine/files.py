"""Writes files so that a crash leaves the old content or the new, never half of one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from spa.errors import RunError
from spa.jsonable import finite

__all__ = ["disk_errors", "publish", "sync_folder", "unfinished", "write_json"]


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a full disk or a missing permission into an error that says what to do.

    Raises:
        RunError: For every OSError inside.
    """
    try:
        yield
    except OSError as error:
        raise RunError(_explain(error, path)) from error


@contextmanager
def unfinished(final: Path) -> Iterator[Path]:
    """A name to write a file under before it is published; whatever goes wrong, it is gone after.

    A file that did not fit would only keep a full disk full.
    """
    temporary = final.with_name(f"{final.name}.{os.getpid()}.tmp")
    try:
        yield temporary
    finally:
        with suppress(OSError):  # what went wrong before is the error to show
            temporary.unlink(missing_ok=True)


def publish(temporary: Path, final: Path) -> None:
    """Makes a finished file appear under its final name, durably, in one step."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable, where the file system can."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(opened)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON file in one step.

    Raises:
        RunError: If the disk is full or the folder cannot be written.
    """
    with disk_errors(path), unfinished(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(finite(value), ensure_ascii=False, allow_nan=False)
        # `json` indents with its slow encoder, and a manifest is written after every stage.
        temporary.write_text(msgspec.json.format(text, indent=2) + "\n", encoding="utf-8")
        publish(temporary, path)


def _explain(error: OSError, path: Path) -> str:
    place = error.filename or path
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{place}: the disk is full. Free some space, or point --runs-dir at another disk, and "
            "run the same command again: rows that were finished are kept."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{place}: no permission to write. Make the folder writable, or choose another with "
            "--runs-dir."
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{place}: a file is in the way of a folder. Move it, or choose another --runs-dir."
    return f"{place}: {error.strerror or error}. Rows that were finished are kept."
