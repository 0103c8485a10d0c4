"""What is in the store: every folder with its kind, state, size, age and the runs that use it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from spa.engine.lock import holder
from spa.errors import UsageError
from spa.storage.layout import ANSWERS, Kind, kind_of
from spa.storage.users import RunUses, find_runs
from spa.types import JsonValue

__all__ = ["Inventory", "State", "StoredFolder", "folder_size", "take_inventory"]

State = Literal["committed", "unfinished", "kept", "damaged", "unknown"]
_COUNTED = 1 << 28
"""Lines of longer files are not counted: a listing should take seconds."""


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """A folder of the store.

    Attributes:
        name: Its name.
        kind: What it holds.
        state: ``committed``: a stage that is done. ``unfinished``: one that is not. ``kept``:
            answers and the like, which have no end. ``damaged``: its marker cannot be read.
        rows: Of a committed stage; of others the finished jobs or answers, None if not counted.
        bytes: Of all its files.
        changed_at: When it was committed or last written, in seconds since 1970.
        runs: Names of the runs that use it, or may use it.
        writer: Who is writing there now.
    """

    name: str
    kind: Kind
    state: State
    rows: int | None
    bytes: int
    changed_at: float
    runs: tuple[str, ...]
    writer: str | None

    def record(self) -> dict[str, JsonValue]:
        """As a JSON record."""
        record = asdict(self)
        record["holds"] = record.pop("kind")  # the kind of a record says what the record is
        return {**record, "runs": list(self.runs)}


@dataclass(frozen=True, slots=True)
class Inventory:
    """All of a store.

    Attributes:
        store: The folder.
        folders: What is in it, by name.
        runs: The runs beside it, those that have a store of their own included.
    """

    store: Path
    folders: Sequence[StoredFolder]
    runs: Sequence[RunUses]

    @property
    def other_stores(self) -> dict[Path, int]:
        """Stores that runs here use instead of this one, each with its size in bytes."""
        found = dict.fromkeys(run.store for run in self.runs if run.store is not None)
        return {store: folder_size(store)[0] for store in found}


def take_inventory(runs: Path) -> Inventory:
    """Looks through a folder of runs and its store; changes nothing.

    Raises:
        UsageError: If there is no such folder.
    """
    if not runs.is_dir():
        raise UsageError(
            f"{runs} is no folder of runs. Give the one that holds the runs and their store with "
            "--runs-dir."
        )
    store = runs / "store"
    users = find_runs(runs)
    entries = sorted(store.iterdir()) if store.is_dir() else []
    return Inventory(store, [_folder(path, users) for path in entries], users)


def folder_size(path: Path) -> tuple[int, float]:
    """Bytes of all files of a folder or file, links not followed, and when it last changed."""
    total, changed = 0, path.lstat().st_mtime
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size, changed
    for place, _, names in os.walk(path):
        for name in names:
            try:
                found = (Path(place) / name).lstat()
            except FileNotFoundError:  # removed meanwhile
                continue
            total += found.st_size
            changed = max(changed, found.st_mtime)
    return total, changed


def _folder(path: Path, users: Sequence[RunUses]) -> StoredFolder:
    plain = path.is_dir() and not path.is_symlink()
    kind: Kind = kind_of(path.name) if plain else "unknown"
    state, rows, committed = _state(path, kind)
    size, changed = folder_size(path)
    writer = holder(path) if plain else None
    return StoredFolder(
        name=path.name,
        kind=kind,
        state=state,
        rows=rows,
        bytes=size,
        changed_at=committed or changed,
        runs=tuple(run.name for run in users if kind != "unknown" and run.uses(path.name)),
        writer=None if writer is None else str(writer),
    )


def _state(path: Path, kind: Kind) -> tuple[State, int | None, float | None]:
    """State, rows, and when it was committed."""
    if kind in ("unknown", "set aside"):
        return "unknown", None, None
    if path.name.startswith(("answers-", "reference-")):
        return "kept", _lines(path / ANSWERS), None
    try:
        marker: dict[str, Any] = json.loads((path / "stage.json").read_text(encoding="utf-8"))
        rows, when = marker.get("rows"), marker.get("committed_at")
    except FileNotFoundError:
        return "unfinished", _lines(path / ANSWERS), None
    except (OSError, ValueError, AttributeError):
        return "damaged", None, None
    return (
        "committed",
        rows if isinstance(rows, int) else None,
        when if isinstance(when, int | float) else None,
    )


def _lines(path: Path) -> int | None:
    """How many lines a file has; None if there is no file, or a very long one."""
    if not path.is_file() or path.stat().st_size > _COUNTED:
        return None
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
