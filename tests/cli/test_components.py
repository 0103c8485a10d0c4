from __future__ import annotations

import json

import pytest

from spa.cli import console, main
from spa.cli.console import print_error, print_json
from spa.cli.harmless import harmless
from spa.errors import SpaError
from spa.plugins import catalogue as catalogue_module


@pytest.fixture(autouse=True)
def only_builtins(monkeypatch: pytest.MonkeyPatch) -> None:
    """No third party's plugin, and one width."""
    catalogue_module._cached.cache_clear()
    console.out.cache_clear()
    console.err.cache_clear()
    monkeypatch.setenv("SPA_PLUGINS", "none")
    monkeypatch.setenv("COLUMNS", "120")


def test_all_components_are_listed_in_the_order_of_the_flow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["components"]) == 0
    captured = capsys.readouterr()
    kinds = [line.split("  ")[0] for line in captured.out.splitlines() if line[0] != " "]
    assert list(dict.fromkeys(kinds)) == [
        "KIND", "backend", "source", "generator", "judge", "refiner", "denoiser", "pair builder",
        "loss", "evaluator",
    ]  # fmt: skip
    assert captured.err == "Next: spa components hf\n"


@pytest.mark.parametrize("kind", ["pair_builder", "pair-builder"])
def test_one_kind_as_json(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["components", "--kind", kind, "--json"]) == 0
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert record == {
        "kind": "pair_builder",
        "name": "lexicographic",
        "qualified": "spa-align/lexicographic",
        "distribution": "spa-align",
        "version": record["version"],
        "plugin": "spa",
        "summary": record["summary"],
        "impl": "spa.components.pair_builders.lexicographic:LexicographicPairBuilder",
        "config": "spa.components.pair_builders.configs:LexicographicConfig",
        "api": 1,
        "revision": 2,
        "install_hint": None,
    }


def test_one_component_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["components", "hf"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("backend 'hf' (built in)\n")
    assert "qualified name  spa-align/hf\n" in captured.out
    assert "  path  (text, length at least 1; required)\n" in captured.out
    assert "      Left out of cache keys: changes speed only.\n" in captured.out
    assert "model:\n  use: hf\n  path: ...  # required: text, length at least 1\n" in captured.out
    assert captured.err == "\nNext: spa validate RECIPE\n"


def test_a_component_as_json_holds_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["components", "spa-align/simpo", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    fields = {field["name"]: field for field in record["fields"]}
    assert fields["gamma"]["default"] == 0.5
    assert fields["gamma"]["type"] == "number, at least 0"
    assert record["snippet"].startswith("loss:\n  use: simpo\n")


def test_mistakes_name_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["components", "simpoo"]) == 2
    assert capsys.readouterr().err.startswith("unknown component 'simpoo'. Did you mean 'simpo' or")
    assert main(["components", "--kind", "judg"]) == 2
    assert capsys.readouterr().err.startswith("unknown kind 'judg'. Did you mean 'judge'?")
    assert main(["components", "simpo", "--kind", "judge"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("unknown judge 'simpo'. Valid names: constitution, ensemble.")
    assert error.endswith(" 'simpo' is a loss (recipe key 'loss').\n")


def test_harmless_replaces_what_steers_a_terminal() -> None:
    assert harmless("a\n\tb\x1b[31m\r\x00\x7f\x9bé") == "a\n\tb\\x1b[31m\\x0d\\x00\\x7f\\x9bé"


def test_errors_are_printed_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(SpaError("no such \x1b]0;owned\x07 thing"))
    assert capsys.readouterr().err == "no such \\x1b]0;owned\\x07 thing\n"


def test_consoles_print_no_control_characters_of_texts(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.padding import Padding
    from rich.table import Table

    table = Table("a\x1b[2J", box=None)
    table.add_row("b\x9b")
    console._console(stderr=False).print(table, Padding("c\x1b", 1), "d\x07")
    said = capsys.readouterr().out
    for shown in ("a\\x1b[2J", "b\\x9b", "c\\x1b", "d\\x07"):
        assert shown in said
    assert not set(said) & {"\x1b", "\x9b", "\x07"}


def test_json_has_null_for_what_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    nan, inf = float("nan"), float("inf")
    print_json({"a": nan, "b": [inf, -inf, 1.5], "c": {"d": nan, "e": "\x9b"}})
    said = capsys.readouterr().out
    assert said == '{"a": null, "b": [null, null, 1.5], "c": {"d": null, "e": "\\u009b"}}\n'
