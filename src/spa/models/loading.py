"""Loads tokenizers and models: safetensors only, no code from the model unless allowed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safetensors import SafetensorError

from spa.errors import SpaError
from spa.models.location import local_path, model_source
from spa.models.machine import has_accelerator
from spa.models.quiet import peft_without_deprecations
from spa.models.spec import ModelSpec

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "LFS_HINT",
    "check_adapter",
    "device_kind",
    "load_model",
    "load_policy",
    "load_tokenizer",
    "local_path",
    "pick_device",
    "pick_dtype",
]

# A clone made without git-lfs holds small text files in place of the weights.
LFS_HINT = "Is it a git-lfs pointer? Run: git lfs pull"

# What transformers raises for files that are missing, of another kind, or damaged.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, SafetensorError)


def pick_device(spec: ModelSpec) -> torch.device:
    """The device of a spec; ``"auto"`` is the first accelerator, else the CPU."""
    import torch

    if spec.device != "auto":
        return torch.device(spec.device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu")


def device_kind(spec: ModelSpec) -> str:
    """The kind of a spec's device, ``"cpu"`` or ``"cuda"`` for example, without importing torch."""
    if spec.device != "auto":
        return spec.device.partition(":")[0]
    return "cuda" if has_accelerator() else "cpu"


def pick_dtype(spec: ModelSpec) -> torch.dtype | str:
    """The dtype of a spec, or ``"auto"`` for the checkpoint's own (see `ModelSpec.dtype`).

    Raises:
        SpaError: If there is no such dtype.
    """
    import torch

    names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if spec.dtype in names:
        return names[spec.dtype]
    if spec.dtype != "auto":
        raise SpaError(f"unknown dtype {spec.dtype!r}. Valid: auto, {', '.join(names)}.")
    return torch.float32 if pick_device(spec).type == "cpu" else "auto"


def load_tokenizer(spec: ModelSpec) -> PreTrainedTokenizerBase:
    """Loads the tokenizer; it has a padding token afterwards.

    Raises:
        SpaError: If the files are missing or unreadable.
    """
    from transformers import AutoTokenizer

    source = model_source(spec.path)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source, trust_remote_code=spec.trust_remote_code
        )
    except _UNREADABLE as error:
        raise _unreadable("tokenizer", spec, error) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    spec: ModelSpec, quantization_config: BitsAndBytesConfig | None = None
) -> PreTrainedModel:
    """Loads the model in evaluation mode on its device; ``spec.adapter`` is not applied.

    Args:
        spec: The model.
        quantization_config: How to quantise it while it is loaded; None: not at all.

    Raises:
        SpaError: If the files are missing or unreadable, or this machine has no such device.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    source = model_source(spec.path)
    transformers_logging.disable_progress_bar()
    device = _usable_device(spec)
    # Quantised as it comes, so that the whole model is never on the device in its own format.
    quantised: dict[str, Any] = (
        {}
        if quantization_config is None
        else {"quantization_config": quantization_config, "device_map": {"": device}}
    )
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=pick_dtype(spec),
            use_safetensors=True,
            trust_remote_code=spec.trust_remote_code,
            **quantised,
        )
    except _UNREADABLE as error:
        raise _unreadable("model", spec, error) from error
    if not quantised:
        model.to(device)  # type: ignore[arg-type]  # a decorator hides its signature
    model.eval()
    return model


def load_policy(spec: ModelSpec) -> PreTrainedModel:
    """Loads the model with its adapter, if it has one, for generation and judging.

    A float32 model gets the adapter merged in, which is faster. In a shorter type the sum would
    round small updates away, so there the adapter stays beside the weights as in training, and
    the model is a PEFT model.

    Raises:
        SpaError: If the files are missing or unreadable.
    """
    model = load_model(spec)
    if spec.adapter is None:
        return model
    import torch
    from peft import PeftModel

    check_adapter(spec.adapter)
    single = model.dtype == torch.float32
    try:
        with peft_without_deprecations():
            adapted = PeftModel.from_pretrained(model, spec.adapter)
            policy = cast("PreTrainedModel", adapted.merge_and_unload() if single else adapted)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise SpaError(f"adapter {spec.adapter!r} cannot be loaded: {error}") from error
    policy.eval()
    return policy


def check_adapter(folder: str | Path) -> None:
    """Makes sure that an adapter's weights are safetensors: peft would unpickle other files.

    Raises:
        SpaError: If the folder holds no ``adapter_model.safetensors``.
    """
    if not (Path(folder) / "adapter_model.safetensors").is_file():
        raise SpaError(
            f"adapter {str(folder)!r} cannot be loaded: there is no adapter_model.safetensors in "
            "that folder, and adapters are read as safetensors only. Is the path right? "
            "An adapter in another format must be saved anew with safe_serialization=True."
        )


def _usable_device(spec: ModelSpec) -> torch.device:
    """The device of a spec, made sure that this machine has it."""
    import torch

    try:
        device = pick_device(spec)
        torch.empty(0, device=device)
    # A torch that was built without the device asserts; others raise errors of their own.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).strip().splitlines()[0]
        raise SpaError(
            f"device {spec.device!r} cannot be used here: {first}. Set device to auto, which takes "
            "the first accelerator or the CPU."
        ) from error
    return device


def _unreadable(what: str, spec: ModelSpec, error: Exception) -> SpaError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, SafetensorError):
        return SpaError(f"{what} {spec.path!r} cannot be loaded: {first}\n{LFS_HINT}")
    return SpaError(
        f"{what} {spec.path!r} cannot be loaded: {first}\n"
        "Is the path right? A name of the hub needs a network the first time, a gated model needs "
        "`hf auth login`, and a model with code of its own needs trust_remote_code: true."
    )
