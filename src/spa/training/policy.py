"""Prepares the model to be trained: dropout off, then a LoRA adapter or all weights.

In later rounds the adapter of the round before is loaded and trained on, so one adapter on the
original model is all that a run of several rounds leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from spa.errors import RunError, SpaError
from spa.models.loading import check_adapter, load_model
from spa.models.location import is_hub_name, model_source
from spa.models.quiet import peft_without_deprecations
from spa.models.spec import ModelSpec
from spa.training.outcome import Kind
from spa.training.precision import check_compute_dtype
from spa.training.quantization import load_quantized

if TYPE_CHECKING:
    from spa.recipe.sections import LoraSettings, TrainConfig

__all__ = ["Policy", "all_finite", "disable_dropout", "load_trainable", "weights_digest"]

_DIGEST_ELEMENTS = 1 << 20


@dataclass(frozen=True, slots=True)
class Policy:
    """A model ready to be trained.

    Attributes:
        model: A PEFT model, or a plain one for full fine-tuning.
        kind: Which of the two.
        dtype: What forward passes compute in.
        base: What adapter_config.json names as the model: a hub name or an absolute folder.
        warnings: What the user should know.
    """

    model: Any
    kind: Kind
    dtype: torch.dtype
    base: str
    warnings: tuple[str, ...] = ()


def load_trainable(spec: ModelSpec, settings: TrainConfig, seed: int) -> Policy:
    """Loads the policy at the start of a round.

    Args:
        spec: The model; ``spec.adapter`` is what earlier rounds learned.
        settings: Section ``train``.
        seed: Set right before adapter weights are drawn.

    Raises:
        SpaError: If the model or the adapter cannot be loaded.
    """
    source = model_source(spec.path)
    base = source if is_hub_name(spec.path) else str(Path(source).resolve())
    wanted = replace(spec, dtype=settings.dtype or spec.dtype)
    quantization = settings.quantization
    model = load_model(wanted) if quantization is None else load_quantized(wanted, quantization)
    dtype = model.dtype
    check_compute_dtype(dtype)
    disable_dropout(model)
    warnings: tuple[str, ...] = ()
    kind: Kind = "full"
    trainable: Any = model
    if settings.lora is not None:
        kind = "adapter"
        if spec.adapter is None:
            trainable = _new_adapter(model, settings.lora, base, seed)
        else:
            trainable = _load_adapter(model, spec.adapter)
            warnings = _continue_adapter(trainable, settings.lora, base)
    else:
        if spec.adapter is not None:
            # In float32 already: a shorter type would round small updates away.
            adapted = _load_adapter(model.float(), spec.adapter)
            trainable = adapted.merge_and_unload(safe_merge=True)
        trainable = trainable.float()
        trainable.requires_grad_(True)
    if settings.gradient_checkpointing:
        _checkpoint_activations(model)
    return Policy(trainable, kind, dtype, base, warnings)


def disable_dropout(model: torch.nn.Module) -> None:
    """Sets every dropout probability to 0; the model may then be in training mode.

    Dropout adds noise to the difference of two log-probabilities, which is all the signal here.
    Attention modules keep their probability as a number, not as a Dropout module.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name, value in vars(module).items():
            if ("dropout" in name or name.endswith(("_pdrop", "layerdrop"))) and isinstance(
                value, float
            ):
                setattr(module, name, 0.0)


def weights_digest(model: torch.nn.Module, state: Mapping[str, torch.Tensor] | None = None) -> str:
    """Hash of the trainable weights: of every byte of small tensors, of the start of large ones.

    Args:
        model: The model.
        state: Its whole weights by name, where it holds only a part of them.
    """
    digest = hashlib.sha256()
    for name, parameter in _trainable(model, state):
        part = parameter.detach().flatten()[:_DIGEST_ELEMENTS].contiguous().cpu()
        digest.update(name.encode())
        digest.update(part.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def all_finite(model: torch.nn.Module, state: Mapping[str, torch.Tensor] | None = None) -> bool:
    """Whether no trainable weight is infinite or not a number; see `weights_digest`."""
    return all(bool(torch.isfinite(p.detach()).all()) for _, p in _trainable(model, state))


def _trainable(
    model: torch.nn.Module, state: Mapping[str, torch.Tensor] | None
) -> Iterator[tuple[str, torch.Tensor]]:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter if state is None else state[name]


def _new_adapter(model: Any, lora: LoraSettings, base: str, seed: int) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    targets = lora.target_modules
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # annotated int, any number works
        lora_dropout=lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        base_model_name_or_path=base,
    )
    set_seed(seed)
    try:
        with peft_without_deprecations():
            adapted = get_peft_model(model, config)
    except ValueError as error:
        raise RunError(f"train.lora does not fit the model: {error}") from error
    adapted.peft_config["default"].base_model_name_or_path = base
    return adapted


def _load_adapter(model: Any, path: str) -> Any:
    from peft import PeftModel

    try:
        check_adapter(path)
        with peft_without_deprecations():
            return PeftModel.from_pretrained(model, path, is_trainable=True)
    except SpaError as error:
        raise RunError(f"the round before: {error}") from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise RunError(f"the round before: adapter {path!r} cannot be loaded: {error}") from error


def _continue_adapter(adapted: Any, lora: LoraSettings, base: str) -> tuple[str, ...]:
    config = adapted.peft_config["default"]
    config.base_model_name_or_path = base
    config.lora_dropout = lora.dropout
    for name, module in adapted.named_modules():
        if name.endswith("lora_dropout.default") and isinstance(module, torch.nn.Dropout):
            module.p = lora.dropout
    if (config.r, config.lora_alpha) == (lora.r, lora.alpha):
        return ()
    return (
        f"the adapter of the round before has r={config.r} and alpha={config.lora_alpha}; it is "
        f"trained on as it is, and train.lora r={lora.r}, alpha={lora.alpha} has no effect",
    )


def _checkpoint_activations(model: Any) -> None:
    # Renamed during transformers 5; the old name then warns.
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(
            activation_checkpointing_kwargs={"use_reentrant": False}
        )
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
