"""Finds out whether a stage's commit is still what was written, and sets aside one that is not.

A damaged commit is no reason to stop: what models answered lies apart from it, so the stage is made
anew, and asks nothing that is stored. The damaged files stay in ``damaged/`` until it is done.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from spa.engine.checksums import CHECKSUMS, file_checksum, is_sealed
from spa.engine.files import disk_errors
from spa.engine.lock import FILE, clear_leftovers, is_abandoned, writer_lock
from spa.engine.sources import SOURCES
from spa.errors import RunError

__all__ = ["ASIDE", "damage_of", "drop_damaged", "other_input", "set_aside", "tidy"]

logger = logging.getLogger(__name__)

ASIDE = "damaged"
"""Folder for the files of a commit that was found damaged, beside the stage's own."""

_MARKER = "stage.json"
_WORK = ("*.jsonl", f"{FILE}*")  # what a stage that goes on finds again


def damage_of(folder: Path) -> str | None:
    """What of a committed stage is not as it was written: a file's path and what is wrong with it.

    Every file is read to its end, at about a gigabyte a second. A file without a checksum, from
    before there were any, counts as sound.

    Returns:
        None if all is sound, or the stage is not committed.
    """
    marker = folder / _MARKER
    try:
        content = json.loads(marker.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return f"{marker} cannot be read ({error})"
    if not isinstance(content, dict) or is_sealed(content) is False:
        return f"{marker} is not what was written"
    checksums: Mapping[str, str] = content.get(CHECKSUMS, {})
    for name, checksum in checksums.items():
        try:
            found = file_checksum(folder / name)
        except OSError as error:
            return f"{folder / name} cannot be read ({error.strerror or error})"
        if found != checksum:
            return f"{folder / name} is not what was written"
    return None


def other_input(info: Mapping[str, Any], digests: Mapping[str, str]) -> bool:
    """Whether a stage was made from other rows than the stages that it reads have now.

    That can only be where one of them was made anew.

    Args:
        info: What the stage's marker says.
        digests: The checksums of the rows of stages, by their keys.
    """
    made_from: Mapping[str, str] = info.get("made_from") or {}
    return any(digests.get(key, digest) != digest for key, digest in made_from.items())


def set_aside(folder: Path, problem: str) -> None:
    """Takes a commit back and warns; for who holds the lock.

    Args:
        folder: Of the stage.
        problem: What is wrong with it, for the warning.

    Raises:
        RunError: If the folder cannot be written.
    """
    logger.warning(
        "%s. The stage is made anew from what is stored; the old files are kept in %s until then. "
        "Is the disk sound?",
        problem,
        folder / ASIDE,
    )
    with disk_errors(folder):
        drop_damaged(folder)
        aside = folder / ASIDE
        aside.mkdir()
        work = {each.name for pattern in _WORK for each in folder.glob(pattern)}
        # The marker first: without it, the stage counts as not done.
        for each in sorted(folder.iterdir(), key=lambda path: path.name != _MARKER):
            if each != aside and each.name not in work:
                each.rename(aside / each.name)


def drop_damaged(folder: Path) -> None:
    """Removes what was set aside; to be called when the stage is committed anew."""
    shutil.rmtree(folder / ASIDE, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Removes what a process left that was killed just after it had committed a stage.

    A folder that cannot be written, or that a living process holds, stays as it is.
    """
    names = {each.name for each in folder.iterdir()}
    if not names & {"part-00000.jsonl", "checkpoints", SOURCES, ASIDE, FILE}:
        return
    if FILE in names and not is_abandoned(folder):
        return
    with suppress(RunError, OSError), writer_lock(folder):
        clear_leftovers(folder)
        for name in ("part-00000.jsonl", SOURCES):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        drop_damaged(folder)
