"""What a recipe can say to the backend ``vllm``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spa.api import ChatTemplateKwargs, ComponentConfig, JsonValue, ModelPath, NotInKey, RecipePath
from spa_vllm.arguments import SET_BY_KEYS, SET_ELSEWHERE

__all__ = ["VLLMConfig"]


class VLLMConfig(ComponentConfig):
    """A model run by vLLM: one engine, or one on each group of GPUs."""

    path: ModelPath = Field(
        min_length=1,
        description="Folder with safetensors weights, a .gguf file, package:NAME/FILE.gguf for a "
        "file of an installed package, or a model name of the Hugging Face hub.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="auto: the checkpoint's own type on an accelerator, float32 on a CPU.",
    )
    adapter: Annotated[RecipePath | None, NotInKey("the content is hashed")] = Field(
        default=None, description="Folder of a LoRA adapter to apply on top."
    )
    max_lora_rank: Annotated[int, NotInKey("changes memory only")] = Field(
        default=16,
        ge=0,
        description="Highest rank of an adapter that a running engine can take on, so that the "
        "trained rounds of a run need no engine of their own. 0: no adapters, which saves memory.",
    )
    tensor_parallel: Annotated[int, NotInKey("changes speed and memory only")] = Field(
        default=1, ge=1, description="Over how many GPUs each engine spreads the model."
    )
    engines: Annotated[int, NotInKey("changes speed only")] = Field(
        default=1, ge=1, description="How many engines work side by side, on GPUs of their own."
    )
    gpu_memory_utilization: Annotated[float | None, NotInKey("changes memory only")] = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of a GPU's memory that an engine may take, or of the machine's where "
        "there is no GPU; null: 0.9 of a GPU, 0.4 of a machine.",
    )
    max_model_len: int | None = Field(
        default=None, ge=1, description="Most tokens of prompt and answer; null: the model's own."
    )
    max_num_seqs: Annotated[int | None, NotInKey("changes speed and memory only")] = Field(
        default=None, ge=1, description="Most rows an engine works on at once; null: vLLM's choice."
    )
    enforce_eager: Annotated[bool, NotInKey("changes speed only")] = Field(
        default=False, description="Whether to do without CUDA graphs: starts faster, runs slower."
    )
    trust_remote_code: bool = Field(
        default=False, description="Whether Python code that comes with the model may run."
    )
    quantization: str | None = Field(
        default=None, description="vLLM's name of a quantization, such as fp8; null: as stored."
    )
    chat_template_kwargs: ChatTemplateKwargs = Field(
        default_factory=dict,
        description="More variables of the chat template, such as enable_thinking: false.",
    )
    engine_args: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Any other engine argument of vLLM by its name, such as kv_cache_dtype: fp8; "
        "all of them are part of cache keys.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.engine_args:
            if name in SET_BY_KEYS:
                raise ValueError(
                    f"engine_args.{name}: this has a key of its own, {SET_BY_KEYS[name]}. Use that"
                )
            if name in SET_ELSEWHERE:
                raise ValueError(f"engine_args.{name} cannot be set: {SET_ELSEWHERE[name]}")
        if self.adapter is not None and self.max_lora_rank == 0:
            raise ValueError(
                "there is an adapter, but max_lora_rank is 0, which is without adapters. "
                "Leave max_lora_rank out, or set it to the adapter's rank"
            )
        return self
