"""The hub source works with the package, and says what to do without it or without a network."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from spa.api import SpaError
from spa.components.sources.configs import DatasetsConfig
from spa.components.sources.datasets import DatasetsSource


class Hub(SimpleNamespace):
    """Stands for the package: ``rows`` is what it loads, or the error that it raises."""

    def load_dataset(self, path: str, **settings: Any) -> Any:
        self.calls.append((path, settings))
        if isinstance(self.rows, Exception):
            raise self.rows
        return self.rows


def hub_with(rows: Any) -> Hub:
    return Hub(rows=rows, calls=[])


def source(monkeypatch: pytest.MonkeyPatch, hub: Any, **settings: Any) -> DatasetsSource:
    monkeypatch.setitem(sys.modules, "datasets", hub)
    return DatasetsSource(DatasetsConfig(name="someone/prompts", **settings))


def test_loads_one_split_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = hub_with([{"prompt": "a", "kind": 1}, {"prompt": "b", "kind": 2}])
    found = source(monkeypatch, hub, subset="en", dataset_split="test", revision="abc")
    fingerprint = found.fingerprint()
    assert [(p.text, p.meta) for p in found.prompts()] == [("a", {"kind": 1}), ("b", {"kind": 2})]
    assert hub.calls == [("someone/prompts", {"name": "en", "split": "test", "revision": "abc"})]
    assert source(monkeypatch, hub_with(hub.rows[:1])).fingerprint() != fingerprint


def test_mistakes_name_dataset_and_row(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpaError) as caught:
        source(monkeypatch, hub_with([{"prompt": "a"}, {"prompt": ""}])).prompts()
    assert str(caught.value) == (
        "dataset someone/prompts (train), row 2: the prompt in column 'prompt' is empty. Fill in or"
        " remove it."
    )


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpaError) as caught:
        source(monkeypatch, None).prompts()
    assert str(caught.value) == (
        "source 'datasets' needs the package `datasets`, which is not installed. Install it with:"
        " pip install datasets, or save the prompts as JSON lines and use source"
        " 'jsonl'."
    )


def test_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    found = source(monkeypatch, hub_with(ConnectionError("no route to host")))
    with pytest.raises(SpaError) as caught:
        found.fingerprint()
    assert str(caught.value) == (
        "dataset 'someone/prompts' (subset default, split train) cannot be loaded: ConnectionError:"
        " no route to host\nCheck name, subset and dataset_split. Without a network, load it once"
        " where there is one, save the prompts as JSON lines and use source 'jsonl'."
    )
