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
from spa.engine.files import disk_errors, write_json
from spa.engine.lock import FILE, clear_leftovers, is_abandoned, writer_lock
from spa.engine.sources import SOURCES
from spa.errors import RunError

__all__ = [
    "ASIDE",
    "INPUT",
    "begin_from",
    "clear_work",
    "damage_of",
    "drop_damaged",
    "problem_of",
    "rows_checksum",
    "set_aside",
    "tidy",
]

logger = logging.getLogger(__name__)

ASIDE = "damaged"
"""Folder for the files of a commit that was found damaged, beside the stage's own."""

INPUT = "made_from.json"
"""Name of the file that says, while a stage runs, which rows it was begun from."""

_MARKER = "stage.json"
_ROWS = "data.parquet"
_PART = "part-00000.jsonl"
_CHECKPOINTS = "checkpoints"
_WORK = ("*.jsonl", INPUT, f"{FILE}*")  # what a stage that goes on finds again
_SMALL = 1 << 20


def damage_of(folder: Path, *, thorough: bool = True) -> str | None:
    """What of a committed stage is not as it was written: a file's path and what is wrong with it.

    A file without a checksum, from before there were any, counts as sound.

    Args:
        folder: Of the stage.
        thorough: Whether every file is read to its end, at about a gigabyte a second. Otherwise
            large ones are just looked for.

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
            if not thorough and (folder / name).stat().st_size > _SMALL:
                continue
            found = file_checksum(folder / name)
        except OSError as error:
            return f"{folder / name} cannot be read ({error.strerror or error})"
        if found != checksum:
            return f"{folder / name} is not what was written"
    return None


def problem_of(folder: Path, digests: Mapping[str, str], *, thorough: bool = True) -> str | None:
    """Why a committed stage cannot be taken as it is; None if it can, or is not committed.

    Args:
        folder: Of the stage.
        digests: The checksums of the rows of stages, by their keys.
        thorough: See `damage_of`.
    """
    problem = damage_of(folder, thorough=thorough)
    marker = folder / _MARKER
    if problem is not None or not marker.is_file():
        return problem
    info = json.loads(marker.read_text(encoding="utf-8"))
    if _other_input(info.get("made_from"), digests):
        return f"{folder} was made from other rows than those that its run reads now"
    return None


def rows_checksum(info: Mapping[str, Any]) -> str:
    """The checksum of a stage's rows, as its marker has it; empty if it is from before."""
    return str(info.get(CHECKSUMS, {}).get(_ROWS, ""))


def begin_from(folder: Path, made_from: Mapping[str, str]) -> None:
    """Notes from which rows a stage is begun; drops what was begun from others.

    Args:
        folder: Of the stage, which is not committed; for who holds the lock.
        made_from: The checksums of the rows that it reads, by the keys of their stages.

    Raises:
        RunError: If the folder cannot be written.
    """
    file = folder / INPUT
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    if before == made_from:
        return
    if _other_input(before, made_from):
        logger.warning(
            "%s was begun from other rows than those that its run reads now: it is begun anew",
            folder,
        )
        with disk_errors(folder):
            for name in (_PART, "training.json", "result.json"):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)
    write_json(file, made_from)


def _other_input(made_from: object, digests: Mapping[str, str]) -> bool:
    """Whether a stage was made from other rows than the stages that it reads have now.

    That can only be where one of them was made anew.
    """
    if not isinstance(made_from, Mapping):
        return False
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


def clear_work(folder: Path) -> None:
    """Removes what only a stage that is not committed needs; for who holds the lock.

    Raises:
        OSError: If the folder cannot be written.
    """
    for name in (_PART, SOURCES, INPUT):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)
    drop_damaged(folder)


def tidy(folder: Path) -> None:
    """Removes what a process left that was killed just after it had committed a stage.

    A folder that cannot be written, or that a living process holds, stays as it is.
    """
    names = {each.name for each in folder.iterdir()}
    if not names & {_PART, _CHECKPOINTS, SOURCES, INPUT, ASIDE, FILE}:
        return
    if FILE in names and not is_abandoned(folder):
        return
    with suppress(RunError, OSError), writer_lock(folder):
        clear_leftovers(folder)
        clear_work(folder)
