"""Whether two folders of one name hold the same, and what one adds to the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spa.engine.checksums import file_checksum, files_below
from spa.engine.keys import KEY_FILE
from spa.engine.lines import LineFile
from spa.storage.layout import ANSWERS, is_archived

__all__ = ["Conflict", "add_answers", "compare_folders"]


class Conflict(Exception):  # noqa: N818  # handled where it arises
    """What lies there is not what came."""


def compare_folders(came: Path, there: Path) -> None:
    """Makes sure that nothing would be overwritten with anything else.

    Raises:
        Conflict: If the folders differ.
    """
    name = came.name
    if there.is_symlink() or not there.is_dir():
        raise Conflict("is in the way")
    if name.startswith("answers-"):
        return  # they are added to each other
    if name.startswith("reference-"):
        if not (there / "logprobs.safetensors").is_file():
            raise Conflict("is not finished")
        return  # its name is a hash of what it is computed from
    if not (there / "stage.json").is_file():
        raise Conflict("is a stage that is not finished here")
    if _contents(came) != _contents(there) and not _same_rows(came, there):
        raise Conflict("holds another result of the same stage")


def add_answers(came: Path, there: Path) -> int:
    """Appends answers to requests that were not answered there yet; returns how many."""
    with LineFile(there / ANSWERS) as own, LineFile(came / ANSWERS) as other:
        known = {_request(body) for _, body in own.read()}
        added = 0
        for _, body in other.read():
            if _request(body) not in known:
                own.append(b"{" + body)
                added += 1
        own.sync()
    return added


def _request(body: bytes) -> Any:  # noqa: ANN401 - what JSON holds
    return json.loads(b"{" + body).get("request")


def _contents(folder: Path) -> dict[str, str]:
    """Checksums of what a stage made. Others tell times, or what its name says."""
    names = files_below(folder, *(each.name for each in folder.iterdir()))
    kept = [n for n in names if is_archived(folder.name, n) and n not in _TOLD]
    return {name: file_checksum(folder / name) for name in kept}


_TOLD = ("stage.json", "result.json", KEY_FILE)


def _same_rows(came: Path, there: Path) -> bool:
    """Whether tables are equal that were written by different versions of the library."""
    import pyarrow.parquet as pq

    files = [folder / "data.parquet" for folder in (came, there)]
    if not all(file.is_file() for file in files):
        return False
    one, other = (pq.read_table(file) for file in files)
    return bool(one.equals(other))
