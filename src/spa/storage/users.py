"""Which runs use which folders of the store.

A run says so itself (``uses.jsonl``); its manifest names its stages besides. What a run of an
earlier version of spa used, which noted nothing, is guessed on the safe side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from spa.engine.lock import Holder, holder
from spa.engine.manifest import read_manifest
from spa.engine.places import store_of
from spa.engine.uses import FILE, noted_uses
from spa.storage.layout import Kind, kind_of
from spa.training.outcome import REFERENCE_NOTE

__all__ = ["RunUses", "find_runs", "run_uses"]

_UNNOTED: frozenset[Kind] = frozenset({"answers", "reference", "judge check"})


@dataclass(frozen=True, slots=True)
class RunUses:
    """A run, and what it uses of the store.

    Attributes:
        name: Its folder, relative to that of the runs; if it is that one, the folder's own name.
        folder: Its folder.
        status: As its manifest says; ``"unreadable"`` where that cannot be read.
        folders: Names of the folders that it uses for sure.
        committed: Those of them that its manifest names: it finished them.
        kinds: Of folders of these kinds it may use any.
        problem: Why it is not known what it uses; None where it is.
        writer: Who is carrying it out now.
        store: The other store that it uses, such as one of its own; None: it uses this one.
    """

    name: str
    folder: Path
    status: str
    folders: frozenset[str]
    committed: frozenset[str] = frozenset()
    kinds: frozenset[Kind] = frozenset()
    problem: str | None = None
    writer: Holder | None = None
    store: Path | None = None

    def uses(self, folder: str) -> bool:
        """Whether it uses a folder, or may do so."""
        return folder in self.folders or kind_of(folder) in self.kinds


def find_runs(runs: Path) -> list[RunUses]:
    """All runs in a folder of runs, those inside of another folder included, by name.

    The folder may be that of one run, for the store of its own that ``--resume never`` made.

    Raises:
        OSError: If the folder cannot be read.
    """
    store = runs / "store"
    found = {
        file.parent
        for name in ("run.json", FILE)
        for depth in ("", "*/", "*/*/")
        for file in runs.glob(f"{depth}{name}")
        if not file.is_relative_to(store)
    }
    return [_user(folder, store, runs) for folder in sorted(found)]


def _user(folder: Path, store: Path, runs: Path) -> RunUses:
    """What a run uses of a store; nothing if it has another one."""
    other = store_of(folder)
    if not other.is_dir() or other.resolve() == store.resolve():
        return run_uses(folder, store, runs)
    used = run_uses(folder, other, runs)
    none: frozenset[str] = frozenset()
    return replace(used, folders=none, committed=none, kinds=frozenset(), problem=None, store=other)


def run_uses(folder: Path, store: Path, runs: Path) -> RunUses:
    """What one run uses.

    Args:
        folder: Of the run.
        store: The store.
        runs: The folder of runs.
    """
    name = folder.relative_to(runs).as_posix() if folder != runs else folder.resolve().name
    writer = holder(folder)
    try:
        begun = (folder / "run.json").exists()
        manifest = read_manifest(folder / "run.json") if begun else {"status": "interrupted"}
        named = frozenset(_named(manifest))
        noted, whole = noted_uses(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return RunUses(
            name,
            folder,
            "unreadable",
            frozenset(),
            problem=f"cannot be read: {error}",
            writer=writer,
        )
    status = str(manifest["status"])
    used = named | (noted or frozenset())
    references, all_noted = _references(store, used)
    kinds: frozenset[Kind] = frozenset() if all_noted else frozenset({"reference"})
    problem: str | None = None
    if not whole:
        problem = f"lines of its {FILE} are damaged"
    elif noted is None and status != "done":
        problem = "it is not finished, and an earlier version of spa did not note what it uses"
    elif noted is None:
        kinds = _UNNOTED
    return RunUses(name, folder, status, used | references, named, kinds, problem, writer)


def _named(manifest: Mapping[str, Any]) -> Iterable[str]:
    """The folders that a manifest names."""
    for record in manifest.get("stages") or ():
        if "folder" in record:
            yield str(record["folder"])
    outputs = manifest.get("outputs") or {}
    for path in (outputs.get("path"), *outputs.get("rounds", ())):
        parts = PurePosixPath(str(path or "")).parts
        if "store" in parts[:-1]:
            yield parts[parts.index("store") + 1]


def _references(store: Path, used: Iterable[str]) -> tuple[frozenset[str], bool]:
    """Reference log-probabilities that trainings note, and whether all of them would have noted."""
    found: set[str] = set()
    all_noted = True
    for name in used:
        if kind_of(name) != "training":
            continue
        try:
            found.add(str(_read(store / name / REFERENCE_NOTE)["folder"]))
        except FileNotFoundError:
            try:
                all_noted &= "checksums" in _read(store / name / "stage.json")
            except FileNotFoundError:
                continue  # it has not begun, or is gone
    return frozenset(found), all_noted


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
