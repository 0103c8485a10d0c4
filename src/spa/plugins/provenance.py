"""Which plugins were there and which of them a run used: for the manifest and for ``requires``."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from spa import __version__
from spa.plugins.catalogue import Catalogue
from spa.plugins.disabling import VARIABLE
from spa.plugins.naming import BROUGHT_BY, BUILTIN_DISTRIBUTION, canonical
from spa.plugins.registered import Registered
from spa.types import JsonValue

__all__ = ["component_record", "plugin_records", "unmet_requirement"]


def component_record(registered: Registered) -> dict[str, JsonValue]:
    """What a manifest says of a component: enough to find the very same one again."""
    return {
        "kind": registered.kind,
        "component": registered.qualified,
        "distribution": registered.distribution,
        "version": registered.version,
        "api": registered.component.api,
        "revision": registered.component.revision,
    }


def plugin_records(
    catalogue: Catalogue, used: Iterable[Registered] = ()
) -> list[dict[str, JsonValue]]:
    """One record for each plugin that was found, in the order of the catalogue.

    Args:
        catalogue: Of the run.
        used: The components that the run used; any order, repetitions allowed.

    Returns:
        Records of plain values: name, distribution, version, status, problems and, under
        ``used``, the sorted qualified names of its components that were used with their kind.
    """
    by_plugin: dict[tuple[str, str], set[str]] = {}
    for each in used:
        names = by_plugin.setdefault((each.distribution, each.plugin), set())
        names.add(f"{each.kind}:{each.qualified}")
    return [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "status": plugin.status,
            "problems": list(plugin.problems),
            "observes": bool(plugin.observers),
            "used": sorted(by_plugin.get((plugin.distribution, plugin.name), ())),
        }
        for plugin in catalogue.plugins
    ]


def unmet_requirement(text: str, catalogue: Catalogue) -> str | None:
    """Why one requirement, such as ``spa-rubric>=0.2``, is not met; None if it is."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return f"{text!r} is not a requirement. Write a distribution and versions: spa-rubric>=0.2"
    if requirement.url is not None:
        return f"{text!r} names an address. Write a distribution and versions: spa-rubric>=0.2"
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    name = canonical(requirement.name)
    installed = _installed_version(name)
    if installed is None:
        ours = name in BROUGHT_BY.values()
        place = f"From a clone of spa: pip install ./plugins/{name}"
        advice = place if ours else f"Try: pip install {shlex.quote(text)}"
        return f"{name} is not installed. {advice}"
    if not requirement.specifier.contains(installed, prereleases=True):
        return (
            f"{name} {installed} is installed, the recipe needs {requirement.specifier}. "
            f"Try: pip install --upgrade {shlex.quote(text)}"
        )
    return _unusable(name, catalogue)


def _unusable(name: str, catalogue: Catalogue) -> str | None:
    """Why a plugin of an installed distribution cannot be used."""
    for plugin in catalogue.plugins:
        if plugin.distribution != name or plugin.status == "ok":
            continue
        if plugin.status == "disabled":
            return f"{name} is installed but disabled by option -P or {VARIABLE}"
        problem = plugin.problems[0]
        return f"{name} is installed but {plugin.status}: {problem}. See: spa plugins doctor"
    return None


def _installed_version(name: str) -> str | None:
    if name == BUILTIN_DISTRIBUTION:
        return __version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None
