"""Whether a model has the layers that an adapter is to be put on, told without its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spa.models.location import model_source
from spa.models.quiet import peft_without_deprecations
from spa.models.spec import ModelSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["ALL_LINEAR", "no_layer_for_adapter"]

ALL_LINEAR = "all-linear"


def no_layer_for_adapter(spec: ModelSpec, targets: str | Sequence[str]) -> str | None:
    """Why no adapter can be put on these layers, or None where nothing speaks against it.

    The model is built empty, from its configuration alone, and peft is asked the very question
    that it will be asked when training starts.

    Args:
        spec: The model; one with an adapter keeps that one, so there is nothing to ask.
        targets: ``"all-linear"``, a regular expression, or names of modules.

    Returns:
        The problem; None also where a model cannot be built so, as with formats of its own.

    Raises:
        SpaError: If the model's files cannot be found.
    """
    if targets == ALL_LINEAR or spec.adapter is not None:
        return None
    source = model_source(spec.path)
    try:
        model = _empty(source, trust_remote_code=spec.trust_remote_code)
    except Exception:  # a check that cannot be made stops no run: training will tell
        return None
    from peft import LoraConfig, get_peft_model

    named = targets if isinstance(targets, str) else list(targets)
    valid = _linear_layers(model)
    try:
        with peft_without_deprecations():
            config = LoraConfig(task_type="CAUSAL_LM", target_modules=named)
            get_peft_model(model, config, low_cpu_mem_usage=True)
    except ValueError as error:
        shown = f"matches {named!r}" if isinstance(named, str) else f"is among {', '.join(named)}"
        missing = "not found in the base model" in str(error)
        reason = f"no layer of the model {shown}" if missing else str(error).rstrip(".")
        return f"{reason}. Valid: {ALL_LINEAR}, or some of {', '.join(valid)}"
    return None


def _empty(source: str, *, trust_remote_code: bool) -> PreTrainedModel:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, trust_remote_code=trust_remote_code
        )
    return model


def _linear_layers(model: PreTrainedModel) -> list[str]:
    """Last parts of the names of all linear layers but the output layer."""
    import torch

    output = model.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and module is not output
        }
    )
