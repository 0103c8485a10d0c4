"""A run as it lies on disk: its manifest, and the stages in the store that the manifest names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from spa.engine.places import store_of
from spa.errors import RunError, SpaError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["StoredRun", "open_run", "stage_rows", "unreadable"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run that was started once; it need not be finished.

    Attributes:
        folder: As the user named it.
        manifest: What its ``run.json`` says.
    """

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.manifest.get("name") or self.folder.resolve().name)

    @property
    def store(self) -> Path:
        """The folder of stages: that which the runs beside it share, or one of its own."""
        return store_of(self.folder.resolve())

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe with every default written out."""
        return self.manifest.get("recipe") or {}

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the objectives, most important first."""
        return tuple(str(each["name"]) for each in self.recipe.get("objectives") or ())

    def stage(self, name: str, number: int | None = None) -> Mapping[str, Any] | None:
        """The record of a stage, of one round or of whichever has it; None if it was not done."""
        for record in self.manifest.get("stages") or ():
            if record["name"] == name and number in (None, record["round"]):
                found: Mapping[str, Any] = record
                return found
        return None

    def rounds(self, stage: str) -> Sequence[int]:
        """The rounds that got through a stage."""
        records = self.manifest.get("stages") or ()
        return sorted({record["round"] for record in records if record["name"] == stage})


def open_run(folder: Path) -> StoredRun:
    """Reads the manifest of a run.

    Raises:
        UsageError: If the folder is none of a run.
        SpaError: If the manifest cannot be read.
    """
    path = folder / "run.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{folder} is no run folder: it holds no run.json. Runs lie in runs/NAME."
        ) from None
    except (OSError, ValueError) as error:
        raise SpaError(f"{path} cannot be read: {error}") from error
    if not isinstance(manifest, dict):
        raise SpaError(f"{path} is not a run manifest.")
    return StoredRun(folder, manifest)


def stage_rows(run: StoredRun, record: Mapping[str, Any], row_type: type[R]) -> Iterator[R]:
    """Yields the rows of a stage.

    Args:
        run: The run.
        record: What its manifest says of the stage.
        row_type: The dataclass of its rows.

    Raises:
        RunError: If the stage is not in the store any more, or cannot be read.
    """
    from spa.engine.store import StageFolder

    name = str(record["folder"])
    if name in ("", "..") or name != Path(name).name:  # the run may be a stranger's
        raise RunError(f"{run.folder}/run.json names no folder of the store: {name!r}.")
    folder = StageFolder(run.store / name, row_type)
    if not folder.is_committed:
        raise RunError(
            f"{run.folder}: its stage {record['name']} is gone: {folder.path} is missing or not "
            "complete. Put the store back beside the run, or run the recipe again to make it anew."
        )
    try:
        yield from folder.read()
    except (OSError, ValueError, LookupError) as error:
        raise unreadable(folder.path, error) from error


def unreadable(folder: Path, error: Exception) -> RunError:
    """What to do about a stage whose rows cannot be read."""
    return RunError(
        f"{folder} cannot be read: {str(error).rstrip('.')}. Run the recipe again: a damaged stage "
        "is made anew from the answers that are stored."
    )
