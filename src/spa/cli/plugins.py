"""``spa plugins``: which plugins are installed, what they bring, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spa.plugins.catalogue import Catalogue
    from spa.plugins.discovery import Plugin
    from spa.types import JsonValue

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See which plugins are there and how they do.",
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON record a line.")]
_STYLES = {"ok": "green", "failed": "red", "incompatible": "red", "disabled": "yellow"}


@app.command("list")
def list_plugins(as_json: AsJson = False) -> None:
    """List the plugins with their status and components."""
    from rich.table import Table
    from rich.text import Text

    from spa.cli.console import err, out, print_json
    from spa.plugins.catalogue import load_catalogue

    catalogue = load_catalogue()
    if as_json:
        for plugin in catalogue.plugins:
            print_json(_record(plugin))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("PLUGIN", "FROM", "STATUS", "COMPONENTS"):
        table.add_column(heading, overflow="fold")
    for plugin in catalogue.plugins:
        names = ", ".join(entry.component.name for entry in plugin.entries)
        origin = f"{plugin.distribution} {plugin.version}"
        status = Text(plugin.status, style=_STYLES[plugin.status])
        table.add_row(plugin.name, origin, status, names or "-")
    out().print(table)
    for warning in catalogue.warnings:
        err().print(f"Warning: {warning}", style="yellow", soft_wrap=True)
    broken = [plugin for plugin in catalogue.plugins if plugin.status in ("failed", "incompatible")]
    err().print(f"Next: spa plugins {'doctor' if broken else 'show ' + catalogue.plugins[-1].name}")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of the plugin or of its distribution.")],
    as_json: AsJson = False,
) -> None:
    """Describe one plugin."""
    from spa.cli.console import err, out, print_json
    from spa.plugins.catalogue import load_catalogue
    from spa.plugins.kinds import KINDS

    catalogue = load_catalogue()
    plugins = _named(catalogue, name)
    if as_json:
        for plugin in plugins:
            print_json(_record(plugin))
        return
    console = out()
    for plugin in plugins:
        console.print(plugin.label, style="bold")
        console.print(f"status   {plugin.status}")
        console.print(f"module   {plugin.target}", soft_wrap=True)
        console.print(f"observes {'run events' if plugin.observers else 'nothing'}")
        for problem in plugin.problems:
            console.print(f"problem  {problem}", style="red", soft_wrap=True)
        if plugin.place:
            console.print(f"at       {plugin.place}", soft_wrap=True)
        for warning in plugin.warnings:
            console.print(f"warning  {warning}", style="yellow", soft_wrap=True)
        for entry in plugin.entries:
            mark = " (incompatible)" if entry.incompatible else ""
            title = KINDS[entry.kind].title
            console.print(
                f"{title} {entry.component.name}{mark}: {entry.component.summary}", soft_wrap=True
            )
        console.print()
    usable = [p for p in plugins if p.entries and p.status == "ok"]
    if usable:
        err().print(f"Next: spa components {usable[0].entries[0].component.name}")
    else:
        err().print("Next: spa plugins doctor")


@app.command("doctor")
def doctor() -> None:
    """Check every plugin, its components included; exit with 1 if one is broken."""
    from spa.cli.console import err, out
    from spa.plugins.catalogue import load_catalogue
    from spa.plugins.examination import examine

    catalogue = load_catalogue()
    findings = examine(catalogue)
    console = out()
    for finding in findings:
        console.print(finding.title, style="red" if finding.broken else "yellow", soft_wrap=True)
        for line in finding.lines:
            console.print(f"  {line}", soft_wrap=True)
    broken = sum(finding.broken for finding in findings)
    total = len(catalogue.plugins)
    if broken:
        err().print(f"{broken} of {total} plugins broken.")
        err().print("Next: fix or remove the first one, then: spa plugins doctor")
        raise typer.Exit(1)
    noun = "plugin" if total == 1 else "plugins"
    console.print(f"{total} {noun} checked, none broken.", style="green")
    err().print("Next: spa components")


def _named(catalogue: Catalogue, name: str) -> list[Plugin]:
    from spa.errors import PluginError
    from spa.plugins.naming import canonical, suggestion

    wanted = canonical(name)
    found = [
        plugin
        for plugin in catalogue.plugins
        if wanted in (canonical(plugin.name), plugin.distribution, canonical(plugin.qualified))
    ]
    if not found:
        known = [each for p in catalogue.plugins for each in (p.name, p.distribution)]
        raise PluginError(f"unknown plugin {name!r}. {suggestion(name, known, 'Plugins')}")
    return found


def _record(plugin: Plugin) -> dict[str, JsonValue]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "target": plugin.target,
        "status": plugin.status,
        "builtin": plugin.builtin,
        "observes": bool(plugin.observers),
        "problems": list(plugin.problems),
        "warnings": list(plugin.warnings),
        "place": plugin.place,
        "components": [
            {
                "kind": entry.kind,
                "name": entry.component.name,
                "api": entry.component.api,
                "revision": entry.component.revision,
                "summary": entry.component.summary,
                "incompatible": entry.incompatible,
            }
            for entry in plugin.entries
        ],
    }
