"""Adapters on quantised weights: trained for real, and used on the weights as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tiny_llama import save_tiny_llama
from transformers import AutoModelForCausalLM

from spa.components.losses.configs import DpoConfig, SpaConfig
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.spa import SpaLoss
from spa.errors import RunError
from spa.models.spec import ModelSpec
from spa.recipe.sections import LoraSettings, TrainConfig
from spa.training.groups import TrainingGroup
from spa.training.merge import merge_adapter
from spa.training.outcome import TrainingStopped, TrainResult
from spa.training.policy import load_trainable
from spa.training.quantization import rounding
from spa.training.run import train

# peft reads a name that transformers has renamed; spa hides it, plain peft does not.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
needs_bitsandbytes = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
KINDS = ["nf4", "int8"]
DTYPES = ["float32", "bfloat16"]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough for the blocks of 64 weights that nf4 has one scale for."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    return save_tiny_llama(folder, hidden_size=64, intermediate_size=128)


@pytest.fixture
def run(spec: ModelSpec, make: SimpleNamespace, tmp_path: Path) -> Callable[..., TrainResult]:
    def start(
        quantization: Any,
        out: str = "out",
        loss: Any = None,
        model: ModelSpec = spec,
        groups: list[TrainingGroup] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        **more: Any,
    ) -> TrainResult:
        settings = {"batch_pairs": 7, "learning_rate": 1e-2, "lora": LoraSettings(r=4)}
        return train(
            groups or make.random_groups(6),
            make.objectives,
            model=model,
            settings=TrainConfig(**{**settings, **more}, quantization=quantization),
            loss=loss or SpaLoss(SpaConfig()),
            output_dir=tmp_path / out,
            reference_dir=tmp_path / "references",
            seed=1,
            on_progress=lambda _progress: None,
            should_stop=should_stop,
        )

    return start


def logits(model: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(torch.arange(2, 30)[None]).logits


@needs_bitsandbytes
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_base_is_quantised_and_the_adapter_alone_is_trained(
    spec: ModelSpec, kind: Any, dtype: Any
) -> None:
    import bitsandbytes

    settings = TrainConfig(lora=LoraSettings(r=4), dtype=dtype, quantization=kind)
    policy = load_trainable(spec, settings, 0)
    assert policy.kind == "adapter"
    assert policy.dtype == getattr(torch, dtype)
    layer = {"nf4": bitsandbytes.nn.Linear4bit, "int8": bitsandbytes.nn.Linear8bitLt}[kind]
    bits = {"nf4": torch.uint8, "int8": torch.int8}[kind]
    plain = policy.model.get_base_model()
    quantised = [m for m in plain.modules() if isinstance(m, layer)]
    assert len(quantised) == 2 * 7
    for module in quantised:
        assert module.weight.dtype == bits
        # 4 bits: two weights a byte.
        count = module.in_features * module.out_features
        assert module.weight.numel() == (count // 2 if kind == "nf4" else count)
        if kind == "nf4":
            assert module.weight.quant_state.nested
            assert module.compute_dtype == policy.dtype
            assert not getattr(module, "support_avx512bf16_for_cpu", False)
    for name, parameter in policy.model.named_parameters():
        assert parameter.requires_grad == ("lora_" in name), name
        if "lora_" in name or "norm" in name:
            assert parameter.dtype == torch.float32, name
    assert plain.lm_head.weight.dtype == plain.model.embed_tokens.weight.dtype == policy.dtype
    assert not plain.is_gradient_checkpointing
    assert (
        load_trainable(spec, settings.model_copy(update={"gradient_checkpointing": True}), 0)
        .model.get_base_model()
        .is_gradient_checkpointing
    )


@needs_bitsandbytes
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_adapter_learns_and_goes_on_the_unquantised_base(
    run: Any, spec: ModelSpec, caplog: pytest.LogCaptureFixture, kind: Any, dtype: Any
) -> None:
    result = run(kind, dtype=dtype, epochs=8, schedule="constant")
    assert result.warnings == ()
    assert result.layout == "segments"  # the trial of packed rows was passed
    assert "needs more memory" not in caplog.text
    assert "inputs will be cast" not in caplog.text
    losses = [entry["loss"] for entry in result.history]
    assert all(entry["grad_norm"] > 1e-3 for entry in result.history)
    assert sum(losses[-3:]) < sum(losses[:3]) - 0.1
    assert f"; the other weights in {kind} while training |" in (
        result.path / "README.md"
    ).read_text(encoding="utf-8")
    saved = load_file(result.path / "adapter_model.safetensors")
    assert all("lora_" in name and tensor.is_floating_point() for name, tensor in saved.items())
    base = AutoModelForCausalLM.from_pretrained(spec.path)
    before = logits(base)
    adapted = logits(PeftModel.from_pretrained(base, result.path))
    assert (adapted - before).abs().max() > 1e-2


@needs_bitsandbytes
@pytest.mark.parametrize(("kind", "tolerance"), [("nf4", 1e-4), ("int8", 0.1)])
def test_losses_and_gradients_are_those_of_plain_training_on_the_rounded_weights(
    run: Any, spec: ModelSpec, make: SimpleNamespace, tmp_path: Path, kind: Any, tolerance: float
) -> None:
    """With a reference, whose passes in evaluation mode must not take the gradient away.

    int8 rounds activations besides, so it comes near only.
    """
    settings = TrainConfig(lora=LoraSettings(r=4), quantization=kind)
    quantised = load_trainable(spec, settings, 0).model.get_base_model()
    rounded = AutoModelForCausalLM.from_pretrained(spec.path)
    plain_modules = dict(rounded.named_modules())
    changed = 0
    for name, module in quantised.named_modules():
        if (values := dequantised(module)) is not None:
            weight = plain_modules[name.replace(".base_layer", "")].weight
            changed += int((weight - values).abs().max() > 1e-4)
            weight.data = values
    assert changed == 2 * 7
    folder = tmp_path / "rounded"
    rounded.save_pretrained(folder)
    make.tokenizer().save_pretrained(folder)
    loss = DpoLoss(DpoConfig())
    mine = run(kind, loss=loss)
    theirs = run(None, out="theirs", loss=loss, model=replace(spec, path=str(folder)))
    assert mine.steps == theirs.steps > 2
    for a, b in zip(mine.history, theirs.history, strict=True):
        for name in ("loss", "grad_norm", "logps/chosen"):
            assert a[name] == pytest.approx(b[name], rel=tolerance), name


def dequantised(module: Any) -> torch.Tensor | None:
    """The weights that a quantised layer stands for; None for other modules."""
    import bitsandbytes

    if isinstance(module, bitsandbytes.nn.Linear4bit):
        state = module.weight.quant_state
        return bitsandbytes.functional.dequantize_4bit(module.weight.data, state)
    if isinstance(module, bitsandbytes.nn.Linear8bitLt):
        return module.weight.data.float() * module.weight.SCB[:, None] / 127
    return None


@needs_bitsandbytes
@pytest.mark.parametrize("kind", KINDS)
def test_the_merged_model_is_the_unquantised_one_with_the_adapter(
    run: Any, spec: ModelSpec, tmp_path: Path, kind: Any
) -> None:
    result = run(kind)
    merged = merge_adapter(spec, result.path, tmp_path / "merged")
    model = AutoModelForCausalLM.from_pretrained(merged)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not getattr(model, "is_quantized", False)
    base = AutoModelForCausalLM.from_pretrained(spec.path)
    adapted = PeftModel.from_pretrained(base, result.path)
    torch.testing.assert_close(logits(model), logits(adapted), rtol=1e-4, atol=1e-4)


@needs_bitsandbytes
def test_the_reference_is_the_quantised_model_at_the_start_of_the_round(
    run: Any, spec: ModelSpec, tmp_path: Path
) -> None:
    """DPO starts at log 2, and a stored reference of the unquantised model is not taken."""
    loss = DpoLoss(DpoConfig())
    run(None, out="plain", loss=loss, batch_pairs=1000)
    first = run("nf4", out="first", loss=loss, batch_pairs=1000)
    assert first.history[0]["loss"] == pytest.approx(0.693147, abs=1e-5)
    assert len(list((tmp_path / "references").iterdir())) == 2
    second = run(
        "nf4",
        out="second",
        loss=loss,
        batch_pairs=1000,
        model=replace(spec, adapter=str(first.path)),
    )
    assert second.history[0]["loss"] == pytest.approx(0.693147, abs=1e-5)
    assert len(list((tmp_path / "references").iterdir())) == 3


@needs_bitsandbytes
def test_resumed_training_equals_uninterrupted_training(run: Any) -> None:
    settings = {"micro_groups": 1, "epochs": 2}
    whole = run("nf4", out="whole", **settings)
    asked = iter([False] * 7 + [True])
    with pytest.raises(TrainingStopped):
        run("nf4", out="parts", should_stop=lambda: next(asked), **settings)
    parts = run("nf4", out="parts", **settings)
    assert [dict(e) for e in parts.history] == [dict(e) for e in whole.history]


@needs_bitsandbytes
def test_gradient_checkpointing_changes_nothing(run: Any) -> None:
    plain, checkpointed = (
        run("nf4", out=f"{flag}", gradient_checkpointing=flag) for flag in (False, True)
    )
    for mine, theirs in zip(plain.history, checkpointed.history, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)


def test_without_bitsandbytes(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes are checked before anything runs; this is for who calls `train` from Python."""
    monkeypatch.setattr(
        "transformers.quantizers.quantizer_bnb_4bit.is_bitsandbytes_available", lambda: False
    )
    with pytest.raises(RunError) as caught:
        run("nf4")
    message = str(caught.value)
    assert message.startswith("weights cannot be quantised to nf4 here: ")
    assert message.endswith(
        "Is bitsandbytes installed, and made for this device? "
        "Try: pip install bitsandbytes, or set train.quantization: null."
    )


def test_rounding() -> None:
    assert rounding(torch.float32, None) == torch.float32
    assert rounding(torch.float32, "nf4") == torch.float32
    assert rounding(torch.float32, "int8") == torch.bfloat16
