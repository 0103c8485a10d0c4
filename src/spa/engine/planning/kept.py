"""Looks through the store for stages like the one that is planned: what they are made of, and took.

Nothing is written. A file that cannot be read counts as none: it is no part of what is run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from spa.engine.keys import KEY_FILE, SCHEME, SHORT_KEY

__all__ = ["KeptStage", "KeptStages"]

_MOST = 40


@dataclass
class KeptStage:
    """A folder of the store.

    Attributes:
        path: Where it lies.
        changed_at: When something in it was last made or removed.
    """

    path: Path
    changed_at: float

    @cached_property
    def key(self) -> Mapping[str, Any]:
        """What its key is made of, as `KEY_FILE` says; empty if it does not say."""
        return _read(self.path / KEY_FILE)

    @cached_property
    def info(self) -> Mapping[str, Any]:
        """What its commit marker says; empty if it is not committed."""
        return _read(self.path / "stage.json")

    @property
    def parts(self) -> Mapping[str, Any]:
        """The parts of its key."""
        parts = self.key.get("parts")
        return parts if isinstance(parts, Mapping) else {}

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """What its model's fingerprint is made of; empty if that is not said."""
        told = self.key.get("fingerprint_parts")
        return told if isinstance(told, Mapping) else {}

    @property
    def model(self) -> Mapping[str, Any]:
        """The model that it asked; empty for none."""
        model = self.parts.get("model")
        return model if isinstance(model, Mapping) else {}

    @property
    def same_scheme(self) -> bool:
        """Whether its key was made as keys are made now."""
        return not self.key or self.key.get("scheme") == SCHEME

    def number(self, name: str) -> float:
        """A figure of its commit marker; 0 if it does not say."""
        value = self.info.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    @cached_property
    def size(self) -> int:
        """Bytes of the files in it, those of folders below included."""
        found = 0
        for folder, _, files in os.walk(self.path):
            for name in files:
                try:
                    found += os.stat(os.path.join(folder, name)).st_size  # noqa: PTH116, PTH118
                except OSError:
                    continue
        return found


class KeptStages:
    """All stages in a store, by the name of the stage; newest first."""

    def __init__(self, store: Path) -> None:
        """Reads the names of the folders.

        Args:
            store: The folder; it need not be there.
        """
        self._of_stage: dict[str, list[KeptStage]] = {}
        try:
            entries = [each for each in os.scandir(store) if each.is_dir()]
        except OSError:
            return
        for entry in entries:
            stage, dash, key = entry.name.rpartition("-")
            if dash and len(key) == SHORT_KEY:
                found = KeptStage(Path(entry.path), entry.stat().st_mtime)
                self._of_stage.setdefault(stage, []).append(found)
        for stages in self._of_stage.values():
            stages.sort(key=lambda each: (-each.changed_at, each.path.name))

    def of(self, stage: str) -> Sequence[KeptStage]:
        """The newest ones of a stage."""
        return self._of_stage.get(stage, [])[:_MOST]

    def all(self) -> Sequence[KeptStage]:
        """The newest ones of every stage."""
        return [each for name in self._of_stage for each in self.of(name)]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
