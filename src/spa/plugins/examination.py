"""Looks for what is wrong with installed plugins and says what to do: ``spa plugins doctor``."""

from __future__ import annotations

from dataclasses import dataclass

from spa.errors import PluginError
from spa.plugins.catalogue import Catalogue
from spa.plugins.discovery import Plugin

__all__ = ["Finding", "examine"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one plugin.

    Attributes:
        title: The plugin and its state.
        lines: Causes, places, and what to do.
        broken: Whether something that it brings cannot be used.
    """

    title: str
    lines: tuple[str, ...]
    broken: bool = True


def examine(catalogue: Catalogue) -> tuple[Finding, ...]:
    """Findings in the order of the plugins; plugins without any are left out.

    Imports the components of third parties, with whatever these import. Built-in ones are not
    imported: some need packages that are optional.
    """
    found = [_examined(catalogue, plugin) for plugin in catalogue.plugins]
    unmatched = [
        Finding(warning, (), broken=False)
        for warning in catalogue.warnings
        if warning.startswith("no plugin")
    ]
    return (*(each for each in found if each is not None), *unmatched)


def _examined(catalogue: Catalogue, plugin: Plugin) -> Finding | None:
    if plugin.status == "disabled":
        return Finding(f"{plugin.label} is disabled, and not checked", (), broken=False)
    causes = list(plugin.problems)
    if plugin.place is not None:
        causes.append(f"at {plugin.place}")
    status = plugin.status
    if not plugin.builtin:
        unusable = _unusable(catalogue, plugin)
        causes += unusable
        if unusable and status == "ok":
            status = "failed"
    if status == "ok":
        if not plugin.warnings:
            return None
        return Finding(f"{plugin.label} is ok, but:", plugin.warnings, broken=False)
    return Finding(f"{plugin.label} is {status}", (*causes, *plugin.warnings, *_advice(plugin)))


def _unusable(catalogue: Catalogue, plugin: Plugin) -> list[str]:
    """Why components of a loaded plugin cannot be imported."""
    problems = []
    for each in catalogue.components():
        if (each.distribution, each.plugin) != (plugin.distribution, plugin.name):
            continue
        for load in (each.load_config_class, each.load_class):
            try:
                load()
            except PluginError as error:
                problems.append(str(error))
    return list(dict.fromkeys(problems))


def _advice(plugin: Plugin) -> tuple[str, ...]:
    return (
        f"To update it:    pip install --upgrade {plugin.distribution}",
        f"To leave it out: spa -P no:{plugin.name} ...",
        f"To remove it:    pip uninstall {plugin.distribution}",
    )
