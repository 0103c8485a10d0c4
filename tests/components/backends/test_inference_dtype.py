"""What ``dtype: auto`` is on a CPU: bfloat16 where model and processor have it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_llama import make_model, make_tokenizer

from spa.components.backends import inference_dtype as module
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig
from spa.components.backends.inference_dtype import computes_bfloat16, inference_dtype
from spa.models.loading import pick_dtype
from spa.models.spec import ModelSpec


def saved(folder: Path, dtype: torch.dtype) -> str:
    make_model().to(dtype).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("stored", "able", "expected"),
    [
        (torch.bfloat16, True, "bfloat16"),
        (torch.float16, True, "bfloat16"),
        (torch.bfloat16, False, "float32"),
        (torch.float32, True, "float32"),
    ],
)
def test_auto_on_a_cpu(
    tmp_path: Path,
    stored: torch.dtype,
    able: bool,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "computes_bfloat16", lambda: able)
    path = saved(tmp_path, stored)
    backend = HFBackend(HFConfig(path=path, device="cpu"))
    assert inference_dtype(ModelSpec(path, device="cpu")) == backend.spec.dtype == expected
    assert backend.model.dtype == getattr(torch, expected)
    plain = HFBackend(HFConfig(path=path, device="cpu", dtype=expected))
    assert backend.fingerprint() == plain.fingerprint(), "the one that is used counts"
    assert pick_dtype(ModelSpec(path, device="cpu")) == torch.float32, "training's is another"


def test_what_is_asked_for_and_what_accelerators_take_stays() -> None:
    for dtype in ("float32", "float16", "bfloat16"):
        assert inference_dtype(ModelSpec("nowhere", dtype=dtype, device="cpu")) == dtype
    assert inference_dtype(ModelSpec("nowhere", device="cuda")) == "auto"


@pytest.mark.parametrize(
    ("capabilities", "able"),
    [({"avx512_bf16": True}, True), ({"bf16": True}, True), ({"avx2": True}, False)],
)
def test_the_processor_is_asked(
    capabilities: dict[str, bool], able: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPA_CACHE", str(tmp_path))  # what is found is remembered
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert computes_bfloat16() == able
