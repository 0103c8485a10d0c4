"""``spa components``: what can be named in a recipe, and how it is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spa.plugins.catalogue import Catalogue, Registered
    from spa.plugins.describe import FieldDescription
    from spa.types import JsonValue

__all__ = ["components"]


def components(
    name: Annotated[
        str | None, typer.Argument(help="Describe this one: 'rubric' or 'spa-rubric/rubric'.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only of this kind, for example judge.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record a line.")] = False,
) -> None:
    """List components, or describe one of them."""
    from spa.cli.console import print_json
    from spa.plugins.catalogue import load_catalogue

    catalogue = load_catalogue()
    wanted = kind.replace("-", "_") if kind else None
    if name is not None:
        for registered in catalogue.find(name, wanted):
            _describe(catalogue, registered, as_json=as_json)
        return
    found = catalogue.components(wanted)
    if as_json:
        for each in found:
            print_json(_record(catalogue, each))
    else:
        _list(catalogue, found)


def _list(catalogue: Catalogue, found: tuple[Registered, ...]) -> None:
    from rich.table import Table

    from spa.cli.console import err, out
    from spa.plugins.kinds import KINDS

    table = Table(box=None, pad_edge=False)
    for heading in ("KIND", "NAME", "FROM", "SUMMARY"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("KIND", "NAME"))
    for each in found:
        origin = "built in" if each.builtin else f"{each.distribution} {each.version}"
        shown = catalogue.shortest_name(each)
        table.add_row(KINDS[each.kind].title, shown, origin, each.component.summary)
    out().print(table)
    broken = [p for p in catalogue.plugins if p.status in ("failed", "incompatible")]
    if broken:
        err().print(f"{len(broken)} of {len(catalogue.plugins)} plugins cannot be used fully.")
        err().print("Next: spa plugins doctor")
    elif found:
        err().print(f"Next: spa components {catalogue.shortest_name(found[0])}")


def _describe(catalogue: Catalogue, registered: Registered, *, as_json: bool) -> None:
    from dataclasses import asdict

    from spa.cli.console import err, out, print_json
    from spa.plugins.describe import describe_config, snippet
    from spa.plugins.kinds import KINDS

    fields = describe_config(registered.load_config_class())
    kind = KINDS[registered.kind]
    yaml = snippet(kind, catalogue.shortest_name(registered), fields)
    if as_json:
        record = _record(catalogue, registered)
        print_json({**record, "fields": [asdict(field) for field in fields], "snippet": yaml})
        return
    component = registered.component
    console = out()
    console.print(registered.label, style="bold")
    console.print(component.summary)
    console.print()
    console.print(f"qualified name  {registered.qualified}")
    console.print(f"recipe key      {kind.key}")
    console.print(f"contract        {kind.title}, version {component.api}")
    console.print(f"revision        {component.revision}")
    console.print(f"class           {component.impl}", soft_wrap=True)
    if component.install_hint:
        console.print(f"needs           {component.install_hint}")
    _print_fields(fields)
    console.print("To use it, write in a recipe:\n")
    console.print(yaml, soft_wrap=True)
    err().print("\nNext: spa validate RECIPE")


def _print_fields(fields: tuple[FieldDescription, ...]) -> None:
    from rich.padding import Padding

    from spa.cli.console import out
    from spa.plugins.describe import default_text, long_default

    console = out()
    console.print("\nKeys:" if fields else "\nIt has no keys to set.")
    for field in fields:
        console.print()
        head = f"{field.name}  ({field.type}; {default_text(field)})"
        console.print(Padding(head, (0, 0, 0, 2), expand=False))
        notes = [field.description]
        if field.not_in_key is not None:
            notes.append(f"Left out of cache keys: {field.not_in_key}.")
        for note in filter(None, notes):
            console.print(Padding(note, (0, 0, 0, 6), expand=False))
        if (whole := long_default(field)) is not None:
            console.print(Padding("Default:", (0, 0, 0, 6), expand=False))
            console.print(Padding(whole, (0, 0, 0, 8), expand=False))
    console.print()


def _record(catalogue: Catalogue, registered: Registered) -> dict[str, JsonValue]:
    component = registered.component
    return {
        "kind": registered.kind,
        "name": catalogue.shortest_name(registered),
        "qualified": registered.qualified,
        "distribution": registered.distribution,
        "version": registered.version,
        "plugin": registered.plugin,
        "summary": component.summary,
        "impl": component.impl,
        "config": component.config,
        "api": component.api,
        "revision": component.revision,
        "install_hint": component.install_hint,
    }
