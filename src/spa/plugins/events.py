"""Hands run events to the plugins that observe runs (hook ``spa_run_event``)."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from spa.plugins.discovery import Plugin, cause, failure_place
from spa.types import RunEvent

__all__ = ["Observers"]

_LOG = logging.getLogger(__name__)


class Observers:
    """The observing plugins; one that fails is named once and never stops the run."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        """Keeps the plugins that observe."""
        self._plugins = tuple(plugin for plugin in plugins if plugin.observers)
        self._failed: set[str] = set()

    def notify(self, event: RunEvent) -> None:
        """Calls every observer, one by one, in the order of the plugins."""
        for plugin in self._plugins:
            for observer in plugin.observers:
                try:
                    observer(event)
                except Exception as error:
                    self._report(plugin, event, error)

    def _report(self, plugin: Plugin, event: RunEvent, error: Exception) -> None:
        if plugin.qualified in self._failed:
            return
        self._failed.add(plugin.qualified)
        place = failure_place(error)
        where = f" (at {place})" if place else ""
        _LOG.warning(
            "%s: spa_run_event failed on %s: %s%s. The run goes on; further failures of this "
            "plugin are not shown. To leave it out: spa -P no:%s",
            plugin.label,
            event.kind,
            cause(error),
            where,
            plugin.name,
        )
