"""Models of many architectures with random weights, each of one or two layers."""

from __future__ import annotations

from typing import Any

__all__ = ["ARCHITECTURES", "flex_without_compiling", "make_architecture"]

_COMMON: dict[str, Any] = {
    "vocab_size": 264,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "pad_token_id": 260,
    "bos_token_id": 257,
    "eos_token_id": 256,
}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_LINEAR = {"linear_num_value_heads": 4, "linear_num_key_heads": 2}
_LINEAR_SIZES = {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
_LOCAL = {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom": ("Bloom", {"n_layer": 2, "n_head": 4}),
    "cohere": ("Cohere", {"logit_scale": 0.5}),
    "falcon": ("Falcon", {"multi_query": True}),
    "falcon with alibi": ("Falcon", {"alibi": True, "multi_query": True}),
    "gemma2": ("Gemma2", {"sliding_window": 64, "attn_logit_softcapping": 5.0}),
    "gemma2, short window": ("Gemma2", {"sliding_window": 8}),
    "gemma3": ("Gemma3", {"sliding_window": 64}),
    "gpt2": ("GPT2", _GPT),
    "gpt-j": ("GPTJ", {**_GPT, "rotary_dim": 4}),
    "gpt-neo": ("GPTNeo", {**_LOCAL, "window_size": 64}),
    "gpt-neox": ("GPTNeoX", {}),
    "gpt-oss": ("GptOss", {"sliding_window": 64, "rope_scaling": None, **_EXPERTS}),
    "granite": ("Granite", {"logits_scaling": 2.0, "attention_multiplier": 0.3}),
    "lfm2": ("Lfm2", {"layer_types": ["conv", "full_attention"]}),
    "llama": ("Llama", {}),
    "llama4": ("Llama4", {"attention_chunk_size": 64, "intermediate_size_mlp": 64, **_EXPERTS}),
    "llama4, short chunks": (
        "Llama4",
        {"attention_chunk_size": 8, "intermediate_size_mlp": 64, **_EXPERTS},
    ),
    "mamba": ("Mamba", {"state_size": 4, "conv_kernel": 3, "expand": 2}),
    "mistral": ("Mistral", {"sliding_window": 64}),
    "mistral, short window": ("Mistral", {"sliding_window": 8}),
    "mixtral": ("Mixtral", {"sliding_window": None, **_EXPERTS}),
    "opt": ("OPT", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    "phi": ("Phi", {}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {}),
    "qwen3-next": (
        "Qwen3Next",
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
         "shared_expert_intermediate_size": 16, **_LINEAR, **_LINEAR_SIZES},
    ),
}  # fmt: skip


def make_architecture(name: str, **more: Any) -> Any:
    """A causal language model in evaluation mode; ``name`` is a key of `ARCHITECTURES`."""
    import torch
    import transformers

    family, changes = ARCHITECTURES[name]
    config_class: Any = getattr(
        transformers, family + ("TextConfig" if family in {"Gemma3", "Llama4"} else "Config")
    )
    settings = {**_COMMON, **changes, **more}
    if family == "Falcon":
        del settings["head_dim"]  # computed there, and read-only
    model_class = getattr(
        transformers, family + ("LMHeadModel" if family == "GPT2" else "ForCausalLM")
    )
    torch.manual_seed(0)
    return model_class(config_class(**settings)).eval()


def flex_without_compiling(monkeypatch: Any) -> None:
    """Makes transformers call FlexAttention as it is; compiling it takes many seconds."""
    from torch.nn.attention.flex_attention import flex_attention
    from transformers.integrations import flex_attention as integration

    def plain(query: Any, key: Any, value: Any, training: bool = False, **more: Any) -> Any:
        return flex_attention(query, key, value, **more)

    monkeypatch.setattr(integration, "compile_friendly_flex_attention", plain)
