"""What torch finds of the machine, remembered for processes without it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from spa.models import machine


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPA_CACHE", str(tmp_path))
    return tmp_path / "machine"


def test_torch_is_asked_where_it_is_there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert machine.has_accelerator() == found
        (memo,) = cache.iterdir()
        assert json.loads(memo.read_text())["accelerator"] == found


def test_without_torch_what_was_found_counts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert machine.has_accelerator()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delitem(sys.modules, "torch")
    assert machine.has_accelerator()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "odd")
    monkeypatch.setattr(machine, "_found", lambda: {"accelerator": False, "bfloat16": True})
    assert not machine.has_accelerator(), "another machine was not seen before"
    assert machine.computes_bfloat16()


def test_a_torn_memo_is_made_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has_accelerator()
    (memo,) = cache.iterdir()
    memo.write_text("{")
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(machine, "_found", lambda: {"accelerator": True, "bfloat16": True})
    assert machine.has_accelerator()
