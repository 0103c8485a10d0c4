"""Takes a run in from an archive, which may be a stranger's.

Everything is unpacked into a temporary folder, checked there, and moved into place by renaming.
What lies in the store already stays as it is; where it differs, nothing is taken.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spa.engine.files import disk_errors, write_json
from spa.engine.lock import writer_lock
from spa.engine.manifest import read_manifest
from spa.errors import RunError, UsageError
from spa.storage.accepting import check_content
from spa.storage.index import Index, read_index
from spa.storage.layout import beside_run, is_run_name
from spa.storage.merging import Conflict, add_answers, compare_folders
from spa.storage.tape import TapeReader, opened

__all__ = ["Unpacked", "unpack_run"]

_SPARE = 64 << 20
"""Bytes that stay free on the disk."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was taken in.

    Attributes:
        folder: Of the run.
        added: Names of folders that are new in the store.
        there: Names of folders that were there already, with the same content.
        answers: How many raw answers were added to folders that were there.
    """

    folder: Path
    added: Sequence[str]
    there: Sequence[str]
    answers: int


def unpack_run(archive: Path, runs: Path, name: str | None = None) -> Unpacked:
    """Takes a run in.

    Args:
        archive: What `pack_run` wrote.
        runs: The folder of runs.
        name: What the run is called here; as in the archive if None.

    Raises:
        RunError: If the archive is damaged or holds what none may, the run is there already, or
            the store holds another result of one of its stages. Nothing was changed then.
        UsageError: If no run can have the name.
    """
    if name is not None and not is_run_name(name):
        raise UsageError(f"--name {name!r} cannot name a run: it is one folder, and not 'store'.")
    with opened(archive) as reader:
        index = read_index(archive, reader)
        name = index.run if name is None else name
        if not is_run_name(name):
            raise RunError(f"{name!r} cannot name a run. Give another --name.")
        folder = runs / name
        if folder.exists() or folder.is_symlink():
            raise RunError(f"{folder} exists. Take the run in under another --name.")
        with disk_errors(runs):
            runs.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(runs).free - _SPARE
        if index.bytes > free:
            raise RunError(
                f"{archive} holds {index.bytes:,} bytes, and {max(free, 0):,} are free in {runs}. "
                "Free some space, or choose another --runs-dir."
            )
        with disk_errors(runs), tempfile.TemporaryDirectory(prefix=".import-", dir=runs) as place:
            temporary = Path(place)
            _unpack(archive, reader, index, temporary)
            check_content(archive, index, temporary)
            return _take(archive, index, temporary, folder, runs / "store")


def _unpack(archive: Path, reader: TapeReader, index: Index, target: Path) -> None:
    missing = dict(index.files)
    for member in reader.members():
        file = missing.pop(member.name, None)
        if file is None:
            raise RunError(
                f"{archive} holds {member.name!r} twice, or without saying so in its index. It is "
                "not taken."
            )
        if member.size != file.size:
            raise RunError(f"{archive}: {member.name!r} is not as long as the index says.")
        path = target / member.name
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with path.open("xb") as output:
            for chunk in reader.content():
                digest.update(chunk)
                output.write(chunk)
        if f"sha256:{digest.hexdigest()}" != file.checksum:
            raise RunError(f"{archive}: {member.name!r} is damaged. Copy the archive anew.")
    if missing:
        raise RunError(f"{archive} lacks {next(iter(missing))!r}. Copy it anew.")


def _take(archive: Path, index: Index, temporary: Path, folder: Path, store: Path) -> Unpacked:
    new = [each for each in index.folders if not (store / each).exists()]
    there = [each for each in index.folders if each not in new]
    for each in there:
        try:
            compare_folders(temporary / "store" / each, store / each)
        except Conflict as conflict:
            raise RunError(
                f"{archive}: {store / each} {conflict}. Nothing was taken. Take the run into a "
                "folder of runs of its own with --runs-dir."
            ) from None
    own = temporary / "run"
    own.mkdir()
    manifest = read_manifest(temporary / "run.json")
    write_json(own / "run.json", {**_with_places(manifest), "name": folder.name})
    if (temporary / "uses.jsonl").is_file():
        (temporary / "uses.jsonl").rename(own / "uses.jsonl")
    store.mkdir(exist_ok=True)
    # The run comes first: from then on what it uses is known to be used.
    own.rename(folder)
    for each in new:
        (temporary / "store" / each).rename(store / each)
    added = 0
    for each in there:
        if each.startswith("answers-"):
            with writer_lock(store / each, wait=True):
                added += add_answers(temporary / "store" / each, store / each)
    return Unpacked(folder, new, there, added)


def _with_places(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest whose paths lead to the store beside the run, also if it had one of its own."""
    outputs = dict(manifest.get("outputs") or {})
    if outputs.get("path"):
        outputs["path"] = beside_run(outputs["path"])
    if outputs.get("rounds"):
        outputs["rounds"] = [beside_run(each) for each in outputs["rounds"]]
    return {**manifest, "outputs": outputs}
