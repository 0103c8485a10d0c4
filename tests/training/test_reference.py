"""Reference log-probabilities survive the way to disk and back, whatever the ids are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch

from spa.training.reference import ReferenceLogprobs


def test_ids_may_hold_newlines(make: SimpleNamespace, tmp_path: Path) -> None:
    name = 'first line\nsecond, "line"'
    group = make.encoded([1], [[2, 3], [4]], [(0, 1)], name)
    rows = {
        f"{name}\t{name}/0": torch.tensor([-1.0, -2.0]),
        f"{name}\t{name}/1": torch.tensor([-3.0]),
    }
    file = tmp_path / "reference.safetensors"
    ReferenceLogprobs(rows).save(file, "identity")
    read = ReferenceLogprobs.load(file, "identity")
    assert read is not None
    assert read.lookup([group], torch.zeros(2, 2)).tolist() == [[-1.0, -2.0], [-3.0, 0.0]]
    assert ReferenceLogprobs.load(file, "another") is None
