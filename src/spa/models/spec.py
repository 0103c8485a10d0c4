"""Which model, and how to load it. A plain value, so that stages and processes can pass it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spa.types import JsonValue

__all__ = ["ModelSpec"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Names a causal language model.

    Attributes:
        path: A folder with safetensors weights, a ``.gguf`` file, ``package:NAME/FILE.gguf`` for
            a file in an installed package, or a name on the Hugging Face hub.
        dtype: ``"auto"``, ``"float32"``, ``"bfloat16"`` or ``"float16"``. ``"auto"`` is the
            checkpoint's own type on an accelerator and float32 on a CPU.
        adapter: Folder of a LoRA adapter to apply on top, or None.
        trust_remote_code: Whether Python code that comes with the model may run.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        chat_template_kwargs: More variables of the chat template, for example
            ``{"enable_thinking": False}``; sampling and training must render prompts alike.
    """

    path: str
    dtype: str = "auto"
    adapter: str | None = None
    trust_remote_code: bool = False
    device: str = "auto"
    chat_template_kwargs: Mapping[str, JsonValue] = field(default_factory=dict)
