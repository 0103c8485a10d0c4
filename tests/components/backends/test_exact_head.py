"""Labels of a model in 16 bits: its hidden states, with a head in float32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_llama import save_tiny_llama

from spa.components.backends.exact_head import exact_head
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig
from spa.components.backends.label_forward import label_logprobs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.mark.parametrize("kernel", [None, "dense"])
def test_the_head_multiplies_in_float32(folder: Path, kernel: str | None) -> None:
    model = HFBackend(HFConfig(path=str(folder), dtype="bfloat16", device="cpu")).model
    ids, labels = [5, 6, 7, 8], [3, 4, 9]
    with torch.no_grad():
        hidden = model.model(torch.tensor([ids])).last_hidden_state[0, -1]
        rounded = model(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1)[labels]
    weight = model.get_output_embeddings().weight
    expected = (hidden.float() @ weight.float().T).log_softmax(-1)[labels]
    (found,) = label_logprobs(model, [ids], [labels], kernel)  # type: ignore[arg-type]
    assert found == pytest.approx(expected.tolist(), abs=1e-5 if kernel is None else 2e-2)
    assert rounded.tolist() != pytest.approx(expected.tolist(), abs=1e-5)


def test_afterwards_the_model_is_as_it_was(folder: Path) -> None:
    model = HFBackend(HFConfig(path=str(folder), dtype="bfloat16", device="cpu")).model
    with exact_head(model):
        assert model(torch.tensor([[5]])).logits.dtype == torch.float32
    assert model(torch.tensor([[5]])).logits.dtype == torch.bfloat16


def test_a_head_in_float32_stays_as_it_is(folder: Path) -> None:
    model = HFBackend(HFConfig(path=str(folder), dtype="float32", device="cpu")).model
    with exact_head(model):
        assert not model.get_output_embeddings()._forward_hooks
