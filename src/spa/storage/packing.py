"""Writes a run and what it uses of the store into one archive.

::

    archive.json                        what this is, and size and checksum of every other file
    run.json  uses.jsonl                of the run
    store/<stage>-<key>/...             committed stages, answers, weights, reference

Stages that are not committed and checkpoints are left out: a run that goes on elsewhere does them
anew.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from spa import __version__
from spa.engine.checksums import file_checksum, files_below
from spa.engine.files import disk_errors, publish, unfinished
from spa.engine.lock import holder
from spa.engine.stored_run import StoredRun
from spa.engine.uses import FILE as USES
from spa.errors import RunError
from spa.storage.layout import is_archived
from spa.storage.users import run_uses

__all__ = ["FORMAT", "INDEX", "KIND", "Packed", "pack_run"]

INDEX = "archive.json"
KIND = "spa-run"
FORMAT = 1
_LONGEST_NAME = 100
_LEVEL = 3  # rows and weights hardly shrink; answers shrink as much at this level as at any


@dataclass(frozen=True, slots=True)
class Packed:
    """What was written.

    Attributes:
        archive: The file.
        folders: Names of the folders of the store in it.
        left_out: Folders that the run uses and that are not in it, each with the reason.
        bytes: Size of the archive.
    """

    archive: Path
    folders: Sequence[str]
    left_out: Sequence[tuple[str, str]]
    bytes: int


def pack_run(run: StoredRun, archive: Path, *, answers: bool = True) -> Packed:
    """Writes the archive under a temporary name, then renames it.

    Args:
        run: The run; it need not be finished.
        archive: The file to write; compressed unless its name ends in ``.tar``.
        answers: Whether raw answers go into it.

    Raises:
        RunError: If the file exists, the run is under way, or it is not known what it uses.
    """
    if archive.exists():
        raise RunError(f"{archive} exists. Choose another --output, or delete it.")
    folder = run.folder.resolve()
    if (living := holder(folder)) is not None:
        raise RunError(f"{run.folder} is being carried out by {living}. Wait until it has ended.")
    chosen, left_out = _chosen(run, answers=answers)
    files = {name: folder / name for name in ("run.json", USES) if (folder / name).is_file()}
    for each in chosen:
        files |= {f"store/{each}/{name}": run.store / each / name for name in _files(run, each)}
    with disk_errors(archive):
        index = {
            "format": FORMAT,
            "kind": KIND,
            "run": folder.name,
            "spa": __version__,
            "files": {
                name: {"size": path.stat().st_size, "checksum": file_checksum(path)}
                for name, path in files.items()
            },
        }
        archive.parent.mkdir(parents=True, exist_ok=True)
        with unfinished(archive) as temporary:
            _write(temporary, archive, json.dumps(index).encode(), files)
            publish(temporary, archive)
        return Packed(archive, chosen, left_out, archive.stat().st_size)


def _chosen(run: StoredRun, *, answers: bool) -> tuple[list[str], list[tuple[str, str]]]:
    """Folders to take, and those that are left out."""
    used = run_uses(run.folder.resolve(), run.store, run.store.parent)
    if used.status == "unreadable":
        raise RunError(f"{run.folder} {used.problem}")
    chosen: list[str] = []
    left_out: list[tuple[str, str]] = []
    for name in sorted(used.folders):
        path = run.store / name
        is_answers = name.startswith("answers-")
        kept = is_answers or name.startswith("reference-")
        if not path.is_dir():
            if (record := _committed(run, name)) is not None:
                raise RunError(
                    f"{run.folder}: its stage {record} is gone: {path} is missing. Run the recipe "
                    "again to make it anew."
                )
        elif is_answers and not answers:
            left_out.append((name, "raw answers"))
        elif kept or (path / "stage.json").is_file():
            chosen.append(name)
        else:
            left_out.append((name, "not finished"))
    return chosen, left_out


def _committed(run: StoredRun, folder: str) -> str | None:
    """The stage that the manifest says is in a folder."""
    for record in run.manifest.get("stages") or ():
        if record.get("folder") == folder:
            return str(record["name"])
    return None


def _files(run: StoredRun, folder: str) -> Iterator[str]:
    path = run.store / folder
    if (living := holder(path)) is not None:
        raise RunError(f"{path} is being written by {living}. Wait until it has ended.")
    for name in files_below(path, *(each.name for each in path.iterdir())):
        if not is_archived(folder, name) or (path / name).is_symlink():
            continue
        if len(f"store/{folder}/{name}") > _LONGEST_NAME:
            raise RunError(f"{path / name}: its name is too long for an archive.")
        yield name


def _write(temporary: Path, archive: Path, index: bytes, files: dict[str, Path]) -> None:
    with ExitStack() as stack:
        raw = stack.enter_context(temporary.open("wb"))
        target: io.BufferedWriter | gzip.GzipFile = raw
        if archive.suffix != ".tar":
            target = stack.enter_context(
                gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=_LEVEL, mtime=0)
            )
        tar = stack.enter_context(
            tarfile.TarFile(mode="w", fileobj=target, format=tarfile.GNU_FORMAT)
        )
        _add(tar, INDEX, len(index), io.BytesIO(index))
        for name, path in files.items():
            with path.open("rb") as content:
                _add(tar, name, path.stat().st_size, content)


def _add(tar: tarfile.TarFile, name: str, size: int, content: io.BufferedIOBase) -> None:
    member = tarfile.TarInfo(name)  # no owner, no time: only names and contents
    member.size = size
    member.mode = 0o644
    tar.addfile(member, content)
