"""Long output on a terminal goes through a pager as it is made, not when all of it is there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO

__all__ = ["page"]


def page(parts: Iterable[str], *, pager: bool = True) -> None:
    """Writes text to stdout, through a pager where it is a terminal that it does not fit on.

    The pager is the variable ``PAGER``, by default ``less`` with colours.

    Args:
        parts: Pieces of the text.
        pager: False: never.
    """
    left = iter(parts)
    if pager and sys.stdout.isatty():
        begun, fits = _screenful(left)
        command = None if fits else _command()
        left = chain(begun, left)
        if command is not None and _page(command, left):
            return
    for part in left:
        sys.stdout.write(part)
        sys.stdout.flush()


def _screenful(parts: Iterator[str]) -> tuple[list[str], bool]:
    """As much as fills the terminal, and whether that is all."""
    height = shutil.get_terminal_size().lines - 2
    begun: list[str] = []
    lines = 0
    for part in parts:
        begun.append(part)
        lines += part.count("\n")
        if lines > height:
            return begun, False
    return begun, True


def _command() -> list[str] | None:
    """The pager that is there; None if there is none."""
    command = shlex.split(os.environ.get("PAGER") or "less")
    return command if command and shutil.which(command[0]) else None


def _page(command: list[str], parts: Iterator[str]) -> bool:
    """Feeds a pager until it has all or was closed; False if it does not start."""
    settings = {"LESS": "-R", **os.environ}
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, text=True, encoding="utf-8", env=settings
        )
    except OSError:
        return False
    stream = process.stdin
    assert stream is not None  # a pipe was asked for
    try:
        _feed(stream, parts)
    finally:
        _close(stream)
        _wait(process)
    return True


def _feed(stream: IO[str], parts: Iterator[str]) -> None:
    try:
        for part in parts:
            stream.write(part)
            stream.flush()
    except (BrokenPipeError, KeyboardInterrupt):  # the reader has seen enough
        return


def _close(stream: IO[str]) -> None:
    try:
        stream.close()
    except BrokenPipeError:
        return


def _wait(process: subprocess.Popen[str]) -> None:
    """Ctrl-C is the pager's own while it runs."""
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue
