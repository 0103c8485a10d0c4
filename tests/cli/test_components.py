from __future__ import annotations

import json

import pytest

from spa.cli import console, main
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
        "revision": 1,
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
    assert capsys.readouterr().err.startswith("unknown component 'simpoo'. Did you mean 'simpo'?")
    assert main(["components", "--kind", "judg"]) == 2
    assert capsys.readouterr().err.startswith("unknown kind 'judg'. Did you mean 'judge'?")
    assert main(["components", "simpo", "--kind", "judge"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("unknown judge 'simpo'. Valid names: constitution.")
    assert error.endswith(" 'simpo' is a loss (recipe key 'loss').\n")
