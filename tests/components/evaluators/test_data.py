"""Rows of a file of the recipe, or of a dataset by name; messages say what to do instead."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from spa.api import SpaError
from spa.components.evaluators.data import rows_of
from spa.components.evaluators.data_configs import DataConfig


def test_every_file_format_gives_the_same_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "a.jsonl").write_text('{"prompt": "Why?", "label": "safe"}\n', encoding="utf-8")
    (tmp_path / "a.csv").write_text("prompt,label\nWhy?,safe\n", encoding="utf-8")
    pq.write_table(pa.table({"prompt": ["Why?"], "label": ["safe"]}), tmp_path / "a.parquet")
    found = [
        list(rows_of(DataConfig(path=str(tmp_path / f"a.{end}"))))
        for end in ("jsonl", "csv", "parquet")
    ]
    assert found[0] == found[1] == found[2]
    assert found[0][0].meta == {"label": "safe"}


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(SpaError, match=r"none\.jsonl does not exist.*evaluator's key `path`"):
        rows_of(DataConfig(path="none.jsonl"))


def test_a_dataset_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    module = ModuleType("datasets")

    def load_dataset(path: str, **settings: Any) -> list[dict[str, object]]:
        asked.append((path, settings))
        return [{"question": "Why?", "choices": ["x"]}]

    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    config = DataConfig(dataset="cais/mmlu", subset="anatomy", prompt_column="question")
    [row] = rows_of(config)
    assert row.text == "Why?"
    assert asked == [("cais/mmlu", {"name": "anatomy", "split": "test", "revision": None})]


def test_a_dataset_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("datasets")

    def load_dataset(path: str, **settings: Any) -> Any:
        raise ConnectionError("offline")

    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    message = r"cannot be loaded: ConnectionError: offline\n.*name that file with the key `path`"
    with pytest.raises(SpaError, match=message):
        rows_of(DataConfig(dataset="cais/mmlu"))


def test_a_dataset_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(SpaError, match=r"key `dataset` needs the package `datasets`.*key `path`"):
        rows_of(DataConfig(dataset="cais/mmlu"))
