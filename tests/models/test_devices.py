"""Processes want a GPU each, where there are any."""

from __future__ import annotations

import pytest
import torch

from spa.models.devices import too_few_accelerators
from spa.models.spec import ModelSpec


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("two")
def test_more_processes_than_gpus() -> None:
    assert too_few_accelerators(ModelSpec("model"), 4) == (
        "each process trains on a GPU of its own, but there are 2 for 4 processes. Set "
        "train.processes (or num_processes in accelerate's file) to 2, or model.device: cpu"
    )
    assert too_few_accelerators(ModelSpec("model"), 2) is None
    assert too_few_accelerators(ModelSpec("model", device="cpu"), 4) is None


def test_without_gpus_processes_share_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert too_few_accelerators(ModelSpec("model"), 4) is None
