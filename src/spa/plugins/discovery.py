"""Second step of discovery: loads each plugin alone and calls its hooks one by one.

A plugin that fails is kept with its cause and place; it never stops spa or another plugin. The
third step, importing what a recipe uses, is in `registered`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pluggy

from spa import __version__
from spa.plugins import hookspecs
from spa.plugins.component import Component
from spa.plugins.disabling import Disabled
from spa.plugins.kinds import KINDS
from spa.plugins.markers import PROJECT
from spa.plugins.naming import suggestion
from spa.plugins.scanning import BUILTIN, Found, scan
from spa.plugins.validation import incompatibility, record_problems, records

__all__ = ["Entry", "Plugin", "Status", "cause", "discover", "failure_place", "load_plugin"]

Status = Literal["ok", "failed", "incompatible", "disabled"]
_RUN_EVENT = "spa_run_event"


@dataclass(frozen=True, slots=True)
class Entry:
    """One announced component.

    Attributes:
        kind: Name of its kind.
        component: The record.
        incompatible: Why this spa cannot use it; ``None`` if it can.
    """

    kind: str
    component: Component
    incompatible: str | None = None


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that was found, with what became of it.

    Attributes:
        name: Of its entry point.
        distribution: Normalised name of the distribution that brings it.
        version: Of the distribution.
        target: The module that holds its hooks.
        status: ``failed`` plugins have no entries; of ``incompatible`` ones, those entries that
            are compatible can still be used.
        entries: What it announces.
        problems: Why it is not ``ok``.
        warnings: Oddities that do not stop it, such as a hook that spa does not know.
        place: ``file:line`` where it failed, ``None`` if unknown.
        observers: Its implementations of ``spa_run_event``.
        builtin: Whether it is spa's own.
    """

    name: str
    distribution: str
    version: str
    target: str
    status: Status = "ok"
    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    place: str | None = None
    observers: tuple[Callable[..., object], ...] = ()
    builtin: bool = False

    @property
    def label(self) -> str:
        """For messages: ``plugin 'rubric' (spa-rubric 0.2)``."""
        return f"plugin {self.name!r} ({self.distribution} {self.version})"

    @property
    def qualified(self) -> str:
        """``distribution/name``."""
        return f"{self.distribution}/{self.name}"


def discover(disabled: Disabled) -> tuple[Plugin, ...]:
    """The built-in plugin, then those of third parties, each loaded unless it is disabled."""
    builtin = load_plugin(replace(BUILTIN, version=__version__))
    if builtin.status != "ok":
        raise AssertionError(f"the built-in components are broken: {'; '.join(builtin.problems)}")
    plugins = [replace(builtin, builtin=True)]
    for found in scan():
        if disabled.covers(found.name, found.distribution):
            plugins.append(replace(_unloaded(found), status="disabled"))
        else:
            plugins.append(_without_doubles(load_plugin(found), plugins))
    return tuple(plugins)


def load_plugin(found: Found) -> Plugin:
    """Imports one plugin's module, registers it and calls its hooks.

    Never raises but for KeyboardInterrupt: whatever a plugin does wrong is in its ``problems``.
    """
    plugin = _unloaded(found)
    if found.problem is not None:
        return replace(plugin, status="failed", problems=(found.problem,))
    try:
        loaded = found.load()
        # A manager of its own: pluggy refuses one module under two names.
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(loaded, name=plugin.qualified)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may even call sys.exit when it is imported
        problem = f"failed to load: {cause(error)}"
        return replace(plugin, status="failed", problems=(problem,), place=failure_place(error))
    plugin = replace(plugin, warnings=tuple(_warnings(manager, loaded)))
    return _announced(plugin, manager)


def cause(error: BaseException) -> str:
    """An exception on one line: its type and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _without_doubles(plugin: Plugin, earlier: list[Plugin]) -> Plugin:
    """Fails a plugin that announces what another one of its distribution does already."""
    taken = {
        (entry.kind, entry.component.name): other.name
        for other in earlier
        if other.distribution == plugin.distribution
        for entry in other.entries
    }
    problems = tuple(
        f"{KINDS[entry.kind].hook} announces {entry.component.name!r}, which plugin "
        f"{taken[entry.kind, entry.component.name]!r} of the same distribution announces too"
        for entry in plugin.entries
        if (entry.kind, entry.component.name) in taken
    )
    return replace(plugin, status="failed", problems=problems, entries=()) if problems else plugin


def _unloaded(found: Found) -> Plugin:
    return Plugin(found.name, found.distribution, found.version, found.target)


def _announced(plugin: Plugin, manager: pluggy.PluginManager) -> Plugin:
    """Calls the hooks and keeps what they announce."""
    entries: list[Entry] = []
    problems: list[str] = []
    seen: set[tuple[str, str]] = set()
    place: str | None = None
    for kind in KINDS.values():
        for implementation in getattr(manager.hook, kind.hook).get_hookimpls():
            if implementation.wrapper or implementation.hookwrapper:
                problems.append(f"{kind.hook} cannot be a hook wrapper. Return the records instead")
                continue
            try:
                returned = records(implementation.function(), kind.hook)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                problems.append(f"{kind.hook} failed: {cause(error)}")
                place = place or failure_place(error)
                continue
            for record in returned:
                wrong = list(record_problems(record, kind))
                problems += wrong
                if wrong or not isinstance(record, Component):
                    continue
                if (kind.name, record.name) in seen:
                    problems.append(f"{kind.hook} announces {record.name!r} twice")
                seen.add((kind.name, record.name))
                reason = incompatibility(record, kind, plugin.distribution)
                entries.append(Entry(kind.name, record, reason))
    if problems:
        return replace(plugin, status="failed", problems=tuple(problems), place=place)
    observers = tuple(each.function for each in getattr(manager.hook, _RUN_EVENT).get_hookimpls())
    unusable = tuple(entry.incompatible for entry in entries if entry.incompatible is not None)
    status: Status = "incompatible" if unusable else "ok"
    return replace(
        plugin, status=status, entries=tuple(entries), problems=unusable, observers=observers
    )


def _warnings(manager: pluggy.PluginManager, loaded: object) -> list[str]:
    """Hooks that spa does not know, hooks without their marker, and no hooks at all."""
    known = set(hookspecs.__all__)
    callers = manager.get_hookcallers(loaded) or []
    unknown = [caller.name for caller in callers if not caller.has_spec()]
    found = [
        f"unknown hook {name!r}, never called. {suggestion(name, known, 'Hooks')}"
        for name in unknown
    ]
    marked = {caller.name for caller in callers}
    found += [
        f"{name} has no @hookimpl, so it is not called"
        for name in sorted(known - marked)
        if callable(_attribute(loaded, name))
    ]
    if not callers and not found:
        found.append(f"no hook is implemented. {suggestion('', known, 'Hooks')}")
    return found


def _attribute(loaded: object, name: str) -> Any:  # noqa: ANN401 - whatever a module holds
    return vars(loaded).get(name) if hasattr(loaded, "__dict__") else None


def failure_place(error: BaseException) -> str | None:
    """``file:line`` of the last frame outside the import system and spa itself."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    own = Path(__file__).parent
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and "importlib" not in Path(frame.filename).parts
        and Path(frame.filename).parent != own
        and "pluggy" not in Path(frame.filename).parts
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
