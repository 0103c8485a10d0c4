"""The reference documents everything that people can name: nothing new without its line there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import spa.api
from spa.cli import plugins as plugin_commands
from spa.cli import store as store_commands
from spa.cli.app import COMMANDS
from spa.engine.advice import ADVICE
from spa.plugins import hookspecs
from spa.plugins.catalogue import build_catalogue
from spa.plugins.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
COMPONENTS = build_catalogue("none").components()


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


def all_pages() -> str:
    return "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").rglob("*.md"))


def trees() -> Iterator[ast.Module]:
    for file in sorted((ROOT / "src" / "spa").rglob("*.py")):
        if "testing" not in file.parts:
            yield ast.parse(file.read_text(encoding="utf-8"))


def reason_codes() -> set[str]:
    """Literal reasons given to `Verdict`, `Score` and `RequestFailure`, and those with advice."""
    found = set(ADVICE)
    place = {"Verdict": 1, "Score": 1, "RequestFailure": 0}
    for node in (n for tree in trees() for n in ast.walk(tree)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in place:
            given = node.args[place[node.func.id] :][:1]
            given += [k.value for k in node.keywords if k.arg == "reason"]
            found |= {n.value for n in given if isinstance(n, ast.Constant)}
    return {code for code in found if isinstance(code, str)}


def environment_variables() -> set[str]:
    strings = (n.value for tree in trees() for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return {s for s in strings if isinstance(s, str) and re.fullmatch(r"SPA_[A-Z_]+", s)}


def test_hooks() -> None:
    assert "::: spa.plugins.hookspecs" in page("hooks")
    assert {kind.hook for kind in KINDS.values()} | {"spa_run_event"} == set(hookspecs.__all__)
    for hook in hookspecs.__all__:
        assert getattr(hookspecs, hook).__doc__


@pytest.mark.parametrize("name", [place.name for place in COMMANDS])
def test_command(name: str) -> None:
    assert f"## `spa {name}`" in page("commands")


@pytest.mark.parametrize("place", COMMANDS, ids=lambda place: place.name)
def test_options_of_command(place) -> None:
    module, _, attribute = place.target.partition(":")
    target = getattr(__import__(module, fromlist=[attribute]), attribute)
    if isinstance(target, typer.Typer):
        return
    single = typer.Typer(add_completion=False)
    single.command()(target)
    section = page("commands").split(f"## `spa {place.name}`")[1].split("\n## ")[0]
    for parameter in typer.main.get_command(single).params:
        longest = max(parameter.opts, key=len)
        if longest.startswith("--") and longest != "--help":
            assert longest in section


def test_commands_about_plugins() -> None:
    for info in plugin_commands.app.registered_commands:
        name = info.name or info.callback.__name__.replace("_", "-")
        assert f"spa plugins {name}" in page("commands")


def test_commands_about_the_store() -> None:
    section = page("commands").split("## `spa store`")[1].split("\n## ")[0]
    group = typer.main.get_command(store_commands.app)
    for name, command in group.commands.items():
        assert f"spa store {name}" in section
        for parameter in command.params:
            longest = max(parameter.opts, key=len)
            if longest.startswith("--") and longest != "--help":
                assert longest in section


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_kind(kind) -> None:
    heading = rf"^## {kind.title.capitalize()}s?: `{kind.key}`$"
    assert re.search(heading, page("components"), re.MULTILINE)


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda each: each.qualified)
def test_component(component) -> None:
    assert f"\n`{component.name}`\n:   " in page("components")


@pytest.mark.parametrize("name", spa.api.__all__)
def test_name_of_the_plugin_interface(name: str) -> None:
    if name in {"lexicographic_key", "score_gap", "score_margin"}:
        assert "::: spa.order" in page("api")
    else:
        assert re.search(rf"\b{name}\b", page("api"))


def test_there_are_reason_codes() -> None:
    assert {"too_long", "low_label_mass", "too_few_samples", "unstable"} <= reason_codes()


@pytest.mark.parametrize("code", sorted(reason_codes()))
def test_reason_code(code: str) -> None:
    assert f"`{code}`" in all_pages()


@pytest.mark.parametrize("name", sorted(environment_variables()))
def test_environment_variable(name: str) -> None:
    assert f"`{name}`" in page("commands")


def test_pages_name_no_paths_of_a_machine() -> None:
    assert not re.search(r"(^|[\s`(])/(work|tmp|root|home)/", all_pages())
