"""Which plugins are switched off, decided before anything is scanned.

``spa -P no:NAME`` and ``spa -P none`` write the environment variable ``SPA_PLUGINS``, which worker
processes inherit, so that all of them see the same plugins.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from spa.errors import PluginError
from spa.plugins.naming import canonical

__all__ = ["VARIABLE", "Disabled", "disable", "parse_disabled"]

VARIABLE = "SPA_PLUGINS"
_NONE = "none"
_NO = "no:"


@dataclass(frozen=True, slots=True)
class Disabled:
    """What is switched off.

    Attributes:
        everything: Whether all third-party plugins are; built-in components always stay.
        names: Entry-point names or distribution names, as they were written.
    """

    everything: bool = False
    names: tuple[str, ...] = ()

    def covers(self, plugin: str, distribution: str) -> bool:
        """Whether a plugin is switched off, by its own or its distribution's name."""
        known = {canonical(plugin), canonical(distribution)}
        return self.everything or any(canonical(name) in known for name in self.names)


def parse_disabled(setting: str) -> Disabled:
    """Reads a value of ``SPA_PLUGINS``: ``none`` and ``no:NAME``, separated by commas.

    Raises:
        PluginError: If a part is neither.
    """
    parts = [part.strip() for part in setting.split(",") if part.strip()]
    names = []
    for part in parts:
        name = part.removeprefix(_NO).strip()
        if part.startswith(_NO) and name:
            names.append(name)
        elif part != _NONE:
            raise PluginError(
                f"{part!r} says nothing about plugins (option -P or {VARIABLE}). "
                "Write 'no:NAME' to leave out one plugin, or 'none' to leave out all."
            )
    return Disabled(everything=_NONE in parts, names=tuple(dict.fromkeys(names)))


def disable(parts: Iterable[str]) -> None:
    """Switches plugins off for this process and those it starts.

    Raises:
        PluginError: If a part is neither ``none`` nor ``no:NAME``; nothing is changed then.
    """
    setting = ",".join(filter(None, [os.environ.get(VARIABLE, ""), *parts]))
    parse_disabled(setting)
    os.environ[VARIABLE] = setting
