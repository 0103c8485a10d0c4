"""Commit markers that say what the files beside them held, and what they say themselves.

::

    {"format": 1, ..., "checksums": {"data.parquet": "sha256:..."}, "seal": "sha256:..."}

A file that rotted on the disk, was cut short or exchanged is so found out before it is believed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spa.engine.files import disk_errors
from spa.jsonable import finite

__all__ = ["CHECKSUMS", "SEAL", "file_checksum", "files_below", "is_sealed", "with_checksums"]

CHECKSUMS = "checksums"
"""Key of a marker: the checksums of the files beside it, by their path in the folder."""

SEAL = "seal"
"""Key of a marker: the checksum of everything else in it."""


def file_checksum(path: Path) -> str:
    """``sha256:`` and 64 hexadecimal digits, of the content of a file.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def files_below(folder: Path, *names: str) -> list[str]:
    """All files of some files and folders of a folder, by their path in it, sorted.

    Args:
        folder: The folder.
        names: Files or folders in it; those that are not there are left out.
    """
    found: list[Path] = []
    for name in names:
        path = folder / name
        found += [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sorted(each.relative_to(folder).as_posix() for each in found)


def with_checksums(folder: Path, facts: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What a marker says, with the checksums of files and a seal.

    Args:
        folder: Where marker and files are.
        facts: JSON values.
        names: Paths of the files in the folder.

    Raises:
        RunError: If a file cannot be read.
    """
    with disk_errors(folder):
        sums = {name: file_checksum(folder / name) for name in names}
    content = {**finite(facts), CHECKSUMS: sums}
    return {**content, SEAL: _seal(content)}


def is_sealed(marker: Mapping[str, Any]) -> bool | None:
    """Whether a marker is as it was written; None if it is from before markers were sealed."""
    if SEAL not in marker:
        return None
    return bool(marker[SEAL] == _seal({k: v for k, v in marker.items() if k != SEAL}))


def _seal(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
