"""Notices that a component's code changed though its revision did not.

The hash of the code is no part of a key: an edit that changes no result must not cost hours. But
rows of before the edit are then not taken in silence.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spa.engine.files import write_json
from spa.plugins.source import same_source, source_hash
from spa.recipe import ComponentSpec

__all__ = ["SOURCES", "note_sources", "sources_of", "warn_of_drift"]

SOURCES = "sources.json"
"""Name of the file that holds the hashes while a stage runs; then the commit marker has them."""

logger = logging.getLogger(__name__)


def sources_of(specs: Iterable[ComponentSpec]) -> dict[str, dict[str, Any]]:
    """Revision, version and hash of the source of components, by kind and qualified name."""
    return {
        _name(spec): {
            "revision": spec.registered.component.revision,
            "version": spec.registered.version,
            "source": source_hash(spec.registered),
        }
        for spec in specs
    }


def note_sources(
    folder: Path, title: str, specs: Iterable[ComponentSpec]
) -> dict[str, dict[str, Any]]:
    """Writes down what a stage runs with when it begins; warns where it goes on with other code.

    Returns:
        What the stage began with.

    Raises:
        RunError: If the folder cannot be written.
    """
    file, specs = folder / SOURCES, list(specs)
    try:
        before: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = sources_of(specs)
        write_json(file, before)
    else:
        warn_of_drift(folder, title, before, specs)
    return before


def warn_of_drift(
    folder: Path, title: str, before: Mapping[str, Any], specs: Iterable[ComponentSpec]
) -> None:
    """Warns of components whose source is another one than that which made the rows of a stage.

    Of built-in components only where the version of spa is the same: between versions their
    revisions say what changed.

    Args:
        folder: Of the stage.
        title: Of the stage.
        before: What `sources_of` said when it began; empty if that is not known.
        specs: The components of the stage.
    """
    for spec in specs:
        registered = spec.registered
        was = before.get(_name(spec))
        if was is None or was["revision"] != registered.component.revision:
            continue
        if registered.builtin and was["version"] != registered.version:
            continue
        if not same_source(was["source"], source_hash(registered)):
            logger.warning(
                "stage %s: the source of %s changed since these rows were made, but its revision "
                "is still %s, so they are taken. If the change matters to results, raise its "
                "revision; to make this stage alone anew, delete %s and run the same command again",
                title,
                registered.label,
                registered.component.revision,
                folder,
            )


def _name(spec: ComponentSpec) -> str:
    return f"{spec.kind}:{spec.registered.qualified}"
