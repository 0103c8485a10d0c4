"""Whether what came out of an archive is what a run leaves behind, file by file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spa.engine.manifest import read_manifest
from spa.errors import RunError
from spa.storage.index import Index
from spa.storage.layout import is_folder_name, kind_of, place_in_store
from spa.storage.verifying import verify_folder

__all__ = ["check_content"]

_MODELS = ("adapter", "model")


def check_content(archive: Path, index: Index, place: Path) -> None:
    """Checks the manifest and every folder.

    Args:
        archive: Where it comes from, for messages.
        index: What it holds.
        place: Where it was unpacked.

    Raises:
        RunError: If something is damaged, or names a place outside of the run and its store.
    """
    _manifest(archive, index, place / "run.json")
    for name in index.folders:
        folder = place / "store" / name
        check = verify_folder(folder)
        if check.damage:
            damage = check.damage[0]
            file = damage.file.relative_to(place)
            raise RunError(f"{archive}: {file} {damage.problem}. Export the run anew.")
        if check.verdict == "unfinished":
            raise RunError(f"{archive}: store/{name} is no finished stage. It is not taken.")
        if kind_of(name) == "training":
            _training(archive, folder)


def _manifest(archive: Path, index: Index, file: Path) -> None:
    try:
        manifest = read_manifest(file)
        named = {str(stage["folder"]) for stage in manifest["stages"]}
        outputs = manifest.get("outputs") or {}
        paths = [str(each) for each in (outputs.get("path"), *outputs.get("rounds", ())) if each]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{archive}: its run.json cannot be read: {error}.") from None
    for name in sorted(named):
        if not is_folder_name(name):
            raise RunError(f"{archive}: run.json names a stage in {name!r}. It is not taken.")
        if name not in index.folders:
            raise RunError(f"{archive} lacks store/{name}, which its run.json names.")
    for path in paths:
        place = place_in_store(path)
        if place is None or place[0] not in index.folders or place[1] not in _MODELS:
            raise RunError(f"{archive}: run.json names a model outside of the archive, {path!r}.")


def _training(archive: Path, folder: Path) -> None:
    """A training's result leads to its own folder alone."""
    try:
        found: Any = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        path = found["path"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{archive}: {folder.name}/result.json is wrong: {error}.") from None
    if path not in _MODELS or not (folder / path).is_dir():
        raise RunError(f"{archive}: {folder.name}/result.json names the model {path!r}.")
