"""The model to be trained: dropout off, adapters reproducible, rounds continued."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from spa.errors import RunError
from spa.models.spec import ModelSpec
from spa.recipe.sections import LoraSettings, TrainConfig
from spa.training.policy import all_finite, disable_dropout, load_trainable, weights_digest


def test_trap_14_all_dropout_is_off_in_training_mode(make: SimpleNamespace) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2))
    llama = make.model(attention_dropout=0.9)
    ids = torch.arange(4, 20)[None]
    for model in (gpt2, llama):
        model.train()
        assert not torch.equal(model(ids).logits, model(ids).logits)
        disable_dropout(model)
        assert model.training
        assert torch.equal(model(ids).logits, model(ids).logits)
        torch.testing.assert_close(model(ids).logits, model.eval()(ids).logits)


def test_trap_14_the_seed_is_set_before_the_adapter_is_created(spec: ModelSpec) -> None:
    settings = TrainConfig(lora=LoraSettings(r=4))
    digests = []
    for seed in (3, 3, 4):
        torch.rand(7)
        digests.append(weights_digest(load_trainable(spec, settings, seed).model))
    assert digests[0] == digests[1] != digests[2]


def test_only_the_adapter_is_trained(spec: ModelSpec) -> None:
    policy = load_trainable(spec, TrainConfig(lora=LoraSettings(r=4)), 0)
    trained = [name for name, p in policy.model.named_parameters() if p.requires_grad]
    assert policy.kind == "adapter"
    assert trained
    assert all("lora_" in name for name in trained)
    assert len(trained) == 2 * 2 * 7


def test_an_adapter_is_fp32_on_a_bfloat16_base(spec: ModelSpec) -> None:
    policy = load_trainable(spec, TrainConfig(lora=LoraSettings(r=4), dtype="bfloat16"), 0)
    assert policy.dtype == torch.bfloat16
    for name, parameter in policy.model.named_parameters():
        expected = torch.float32 if "lora_" in name else torch.bfloat16
        assert parameter.dtype == expected, name


def test_full_fine_tuning_trains_everything(spec: ModelSpec) -> None:
    policy = load_trainable(spec, TrainConfig(lora=None, dtype="bfloat16"), 0)
    assert policy.kind == "full"
    assert policy.dtype == torch.bfloat16
    assert all(p.requires_grad and p.dtype == torch.float32 for p in policy.model.parameters())


def test_the_digest_sees_one_changed_weight(spec: ModelSpec) -> None:
    model = load_trainable(spec, TrainConfig(lora=LoraSettings(r=4)), 0).model
    before = weights_digest(model)
    assert weights_digest(model) == before
    parameter = next(p for p in model.parameters() if p.requires_grad)
    with torch.no_grad():
        parameter[0, 0] += 1
    assert weights_digest(model) != before
    assert all_finite(model)
    with torch.no_grad():
        parameter[0, 0] = float("nan")
    assert not all_finite(model)


def test_full_fine_tuning_keeps_the_small_updates_of_an_adapter(
    spec: ModelSpec, tmp_path: Path
) -> None:
    first = load_trainable(spec, TrainConfig(lora=LoraSettings(r=4)), 0).model
    with torch.no_grad():
        for name, parameter in first.named_parameters():
            if "lora_B" in name:
                parameter.fill_(1e-5)
    first.save_pretrained(tmp_path, save_embedding_layers=False)
    settings = TrainConfig(lora=None, dtype="bfloat16")
    plain, second = (
        load_trainable(replace(spec, adapter=adapter), settings, 0).model.model.layers[0]
        for adapter in (None, str(tmp_path))
    )
    changed = plain.mlp.up_proj.weight != second.mlp.up_proj.weight
    assert changed.float().mean() > 0.9


def test_an_adapter_that_is_gone(spec: ModelSpec) -> None:
    gone = ModelSpec(spec.path, "float32", adapter="/nowhere/adapter", device="cpu")
    with pytest.raises(
        RunError, match=r"^the round before: adapter '/nowhere/adapter' cannot be loaded"
    ):
        load_trainable(gone, TrainConfig(), 0)
