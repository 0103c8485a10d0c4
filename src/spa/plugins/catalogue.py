"""The catalogue: what a component's name in a recipe means.

Built once from the discovered plugins and not changed after that. A name is bare (``rubric``) or
qualified with its distribution (``spa-rubric/rubric``). Built-ins own their bare names; two third
parties with one bare name are an error only where that name is used.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

from spa.errors import PluginError
from spa.plugins.disabling import VARIABLE, Disabled, parse_disabled
from spa.plugins.discovery import Entry, Plugin, discover
from spa.plugins.events import Observers
from spa.plugins.kinds import KINDS, Kind
from spa.plugins.naming import BROUGHT_BY, canonical, suggestion
from spa.plugins.registered import Registered
from spa.types import RunEvent

__all__ = ["Catalogue", "Registered", "build_catalogue", "load_catalogue"]


class Catalogue:
    """All plugins that were found and the components that they announce."""

    def __init__(self, plugins: Sequence[Plugin], disabled: Disabled | None = None) -> None:
        """Sorts the components by kind: built-ins first, then by qualified name."""
        self.plugins = tuple(plugins)
        self.disabled = disabled or Disabled()
        self._announced = tuple(
            (entry, plugin) for plugin in self.plugins for entry in plugin.entries
        )
        usable = [_registered(e, p) for e, p in self._announced if e.incompatible is None]
        self._components = {
            kind: tuple(
                sorted(
                    (each for each in usable if each.kind == kind),
                    key=lambda each: (not each.builtin, each.qualified),
                )
            )
            for kind in KINDS
        }
        self._observers = Observers(self.plugins)

    def components(self, kind: str | None = None) -> tuple[Registered, ...]:
        """The usable components, of one kind or of all in the order of the flow.

        Raises:
            PluginError: If there is no such kind.
        """
        if kind is None:
            return tuple(each for found in self._components.values() for each in found)
        return self._components[_kind(kind).name]

    def names(self, kind: str) -> tuple[str, ...]:
        """The shortest name of each component of a kind: what a recipe would write."""
        return tuple(self.shortest_name(each) for each in self.components(kind))

    def shortest_name(self, registered: Registered) -> str:
        """The bare name where it is enough, else the qualified one."""
        found = self._bare(registered.kind, registered.name)
        return registered.name if found == (registered,) else registered.qualified

    def resolve(self, kind: str, name: str) -> Registered:
        """The component that a name means.

        Raises:
            PluginError: If it is unknown (with the nearest valid names, and why plugins that may
                hold it failed to load), ambiguous, or incompatible with this spa.
        """
        of = _kind(kind)
        found = self._qualified(kind, name) if "/" in name else self._bare(kind, name)
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(repr(each.qualified) for each in found)
            raise PluginError(f"{of.title} {name!r} is ambiguous. Write {choices}.")
        raise PluginError(self._incompatible(kind, name) or self._unknown(kind, name))

    def find(self, name: str, kind: str | None = None) -> tuple[Registered, ...]:
        """All components that a name can mean, for showing them; several kinds can share a name.

        Raises:
            PluginError: If there is none, as with `resolve`.
        """
        kinds = KINDS if kind is None else (_kind(kind).name,)
        by_kind = [self._qualified(k, name) if "/" in name else self._bare(k, name) for k in kinds]
        found = tuple(each for several in by_kind for each in several)
        if found:
            return found
        if kind is not None:
            raise PluginError(self._incompatible(kind, name) or self._unknown(kind, name))
        reasons = (self._incompatible(each, name) for each in KINDS)
        raise PluginError(next(filter(None, reasons), None) or self._unknown(None, name))

    def notify(self, event: RunEvent) -> None:
        """Tells every observing plugin of an event; never raises."""
        self._observers.notify(event)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Names given to ``-P no:NAME`` that no plugin has, and oddities of plugins."""
        third_party = [plugin for plugin in self.plugins if not plugin.builtin]
        known = [name for p in third_party for name in (p.name, p.distribution)]
        unmatched = tuple(
            f"no plugin {name!r} to leave out (option -P or {VARIABLE}). "
            + suggestion(name, known, "Plugins")
            for name in self.disabled.names
            if not any(Disabled(names=(name,)).covers(p.name, p.distribution) for p in third_party)
        )
        return unmatched + tuple(
            f"{plugin.label}: {warning}" for plugin in self.plugins for warning in plugin.warnings
        )

    def _bare(self, kind: str, name: str) -> tuple[Registered, ...]:
        found = tuple(each for each in self._components[kind] if each.name == name)
        own = tuple(each for each in found if each.builtin)
        return own or found

    def _qualified(self, kind: str, name: str) -> tuple[Registered, ...]:
        distribution, _, bare = name.partition("/")
        wanted = f"{canonical(distribution)}/{bare}"
        return tuple(each for each in self._components[kind] if each.qualified == wanted)

    def _incompatible(self, kind: str, name: str) -> str | None:
        for entry, plugin in self._announced:
            names = (entry.component.name, f"{plugin.distribution}/{entry.component.name}")
            if entry.kind == kind and entry.incompatible is not None and name in names:
                return f"{plugin.label}: {entry.incompatible}."
        return None

    def _unknown(self, kind: str | None, name: str) -> str:
        what = "component" if kind is None else KINDS[kind].title
        kinds = KINDS if kind is None else (kind,)
        valid = [each for k in kinds for each in self.names(k)]
        sentences = [f"unknown {what} {name!r}.", suggestion(name, valid, "Valid names")]
        distribution = canonical(name.partition("/")[0]) if "/" in name else None
        for plugin in self.plugins:
            if distribution not in (None, plugin.distribution):
                continue
            if plugin.status == "failed":
                sentences.append(_sentence(_failure(plugin)))
            elif plugin.status == "disabled":
                sentences.append(
                    _sentence(f"{plugin.label} is disabled by option -P or {VARIABLE}")
                )
        elsewhere = [
            f"{KINDS[each.kind].article} (recipe key {KINDS[each.kind].key!r})"
            for each in self.components()
            if name in (each.name, each.qualified)
        ]
        if elsewhere:
            sentences.append(f"{name!r} is {' and '.join(elsewhere)}.")
        bringer = BROUGHT_BY.get(name.rpartition("/")[2])
        if bringer is not None and all(bringer != plugin.distribution for plugin in self.plugins):
            sentences.append(
                f"The plugin {bringer} brings it, from a clone of spa: pip install "
                f"./plugins/{bringer}"
            )
        return " ".join(sentences)


def build_catalogue(setting: str = "") -> Catalogue:
    """Discovers the plugins under a value of ``SPA_PLUGINS``.

    Raises:
        PluginError: If the value cannot be read.
    """
    disabled = parse_disabled(setting)
    return Catalogue(discover(disabled), disabled)


_cached = cache(build_catalogue)


def load_catalogue() -> Catalogue:
    """The catalogue of this process, built once for each value of ``SPA_PLUGINS``.

    Raises:
        PluginError: If ``SPA_PLUGINS`` cannot be read.
    """
    return _cached(os.environ.get(VARIABLE, ""))


def _registered(entry: Entry, plugin: Plugin) -> Registered:
    return Registered(
        component=entry.component,
        kind=entry.kind,
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        builtin=plugin.builtin,
    )


def _kind(name: str) -> Kind:
    try:
        return KINDS[name]
    except KeyError:
        raise PluginError(f"unknown kind {name!r}. {suggestion(name, KINDS, 'Kinds')}") from None


def _failure(plugin: Plugin) -> str:
    """``plugin 'x' (dist 1.0) failed to load: ImportError: ... (at file:line)``."""
    where = f" (at {plugin.place})" if plugin.place else ""
    first, *more = plugin.problems
    others = f"; and {len(more)} more, see: spa plugins show {plugin.name}" if more else ""
    what = first if first.startswith("failed") else f"failed: {first}"
    return f"{plugin.label} {what}{where}{others}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
