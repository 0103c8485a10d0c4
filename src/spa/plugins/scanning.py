"""First step of discovery: which entry points are there. Nothing is imported.

Reads the metadata of every installed distribution. One with damaged metadata is reported and the
others are still found; two distributions that use the same entry-point name are both seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions

from spa.plugins.naming import BUILTIN_DISTRIBUTION, canonical

__all__ = ["BUILTIN", "GROUP", "Found", "scan"]

GROUP = "spa.plugins"
_FILE = "entry_points.txt"
_UNNAMED = "unnamed"
_UNVERSIONED = "of unknown version"


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point of the group ``spa.plugins``.

    Attributes:
        name: Of the entry point.
        target: ``"module"`` or ``"module:attribute"``; ``""`` if it could not be read.
        distribution: Normalised name of the distribution that brings it.
        version: Of the distribution.
        problem: Why the metadata could not be read; ``None`` if it could.
    """

    name: str
    target: str
    distribution: str
    version: str
    problem: str | None = None

    def load(self) -> object:
        """Imports the target; whatever that raises is raised."""
        loaded: object = EntryPoint(self.name, self.target, GROUP).load()
        return loaded


BUILTIN = Found("spa", "spa.components.catalogue", BUILTIN_DISTRIBUTION, "")
"""The built-in components: found without an entry point, loaded like any plugin."""


def scan() -> tuple[Found, ...]:
    """All plugins of third parties, sorted by distribution and name."""
    return tuple(sorted(_found(), key=lambda found: (found.distribution, found.name, found.target)))


def _found() -> Iterator[Found]:
    seen: set[str] = set()
    for distribution in distributions():
        text = distribution.read_text(_FILE)
        if not text or GROUP not in text:
            continue
        name, version = _identity(distribution)
        if name in seen:  # shadowed by one earlier on the path, which is what gets imported
            continue
        seen.add(name)
        try:
            points = list(distribution.entry_points.select(group=GROUP))
        except Exception as error:  # malformed text raises all sorts of errors
            problem = f"its {_FILE} cannot be read: {type(error).__name__}: {error}"
            yield Found(name, "", name, version, problem)
            continue
        for point in points:
            yield Found(point.name, point.value, name, version)


def _identity(distribution: Distribution) -> tuple[str, str]:
    """Normalised name and version; a distribution without METADATA has neither."""
    try:
        metadata = distribution.metadata
        return canonical(metadata["Name"] or _UNNAMED), metadata["Version"] or _UNVERSIONED
    except Exception:  # what a missing file raises depends on the Python version
        return _UNNAMED, _UNVERSIONED
