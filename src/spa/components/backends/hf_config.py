"""Settings of the `hf` backend."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spa.api import ChatTemplateKwargs, ComponentConfig, ModelPath, NotInKey, RecipePath

__all__ = ["HFConfig"]


class HFConfig(ComponentConfig):
    """A model run by transformers in this process, on a CPU or one accelerator."""

    path: ModelPath = Field(
        min_length=1,
        description="Folder with safetensors weights, a .gguf file, package:NAME/FILE.gguf for a "
        "file of an installed package, or a model name of the Hugging Face hub.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="auto: the checkpoint's own type on an accelerator. On a CPU bfloat16 where "
        "the checkpoint's type has 16 bits and the processor computes in it, which is nearly twice "
        "as fast, else float32; training on a CPU takes float32.",
    )
    adapter: Annotated[RecipePath | None, NotInKey("the content is hashed")] = Field(
        default=None, description="Folder of a LoRA adapter to apply on top."
    )
    device: Annotated[str, NotInKey("changes speed only")] = Field(
        default="auto", description="auto, cpu, cuda, cuda:1, ..."
    )
    trust_remote_code: bool = Field(
        default=False, description="Whether Python code that comes with the model may run."
    )
    chat_template_kwargs: ChatTemplateKwargs = Field(
        default_factory=dict,
        description="More variables of the chat template, for example {enable_thinking: false}; "
        "for sampling, judging and training alike.",
    )
    batch_size: Annotated[int, NotInKey("changes speed and memory only")] = Field(
        default=128, ge=1, description="Most rows generated side by side."
    )
    batch_tokens: Annotated[int, NotInKey("changes speed and memory only")] = Field(
        default=65536,
        ge=1,
        description="Most tokens held side by side while generating: rows times the longest "
        "prompt and max_tokens. Halved where memory does not suffice.",
    )
    label_batch_size: Annotated[int, NotInKey("changes speed and memory only")] = Field(
        default=16,
        ge=1,
        description="Memory for judging: as many tokens run at once as so many of the longest "
        "prompts have. Prompts that begin alike share their beginning, so more rows fit.",
    )
