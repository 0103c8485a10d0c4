"""What a model's config says against rows laid out in another way, and how near is exact.

Packing is exact only if nothing but the attention looks at other tokens, and if the attention
heeds the mask and the positions it is given. A config does not say everything: whoever packs also
tries it out.
"""

from __future__ import annotations

from typing import Any

import torch

from spa.models.unwrapping import forward_parameters

__all__ = ["distance", "packing_obstacle", "packing_tolerance", "stretching_limit"]

_ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
_TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3}
_ROUGH = 0.25  # nats; of bfloat16, whose rounding differs between layouts


def packing_tolerance(dtype: torch.dtype) -> float:
    """By how many nats log-probabilities may differ from the model's own."""
    return _TOLERANCE.get(dtype, _ROUGH)


def distance(own_NV: torch.Tensor, found_NV: torch.Tensor) -> float:
    """Largest mean difference of log-probabilities of N places, in nats; NaN if there are some.

    Tokens count by their probability: 16 bits say little about those that are not likely, as a
    logit of 16 is rounded to an eighth.

    Args:
        own_NV: Logits of the model itself.
        found_NV: Logits of another layout.
    """
    own, found = own_NV.float().log_softmax(-1), found_NV.float().log_softmax(-1)
    gap_N = (own.exp() * (found - own).abs()).sum(-1)
    return float("nan") if gap_N.isnan().any() else float(gap_N.max())


def packing_obstacle(model: Any, longest: int) -> str | None:
    """Why packing is known not to be exact for a model; None if nothing is known.

    Args:
        model: The causal language model itself.
        longest: Tokens of the longest prompt with one response.
    """
    config = model.config.get_text_config()
    if getattr(model.config, "is_encoder_decoder", False):
        return "the model has an encoder"
    if getattr(model, "_is_stateful", False):
        return "the model is recurrent"
    if "position_ids" not in forward_parameters(model):
        return "the model takes no positions"
    layers = set(getattr(config, "layer_types", None) or ())
    if other := sorted(layers - _ATTENTION_LAYERS):
        return f"the model has layers that are no attention ({', '.join(other)})"
    if "local" in (getattr(config, "attention_layers", None) or ()):
        # GPT-Neo: counted in places of the row, whatever the positions say.
        return "the model's local attention counts tokens of the row"
    return _window_obstacle(config, layers, longest)


def _window_obstacle(config: Any, layers: set[str], longest: int) -> str | None:
    """A limit of how far tokens see that some sequence exceeds."""
    for name, applies in (
        ("sliding_window", _slides(config, layers)),
        ("attention_chunk_size", "chunked_attention" in layers),
    ):
        window = getattr(config, name, None)
        if applies and window is not None and window < longest:
            return f"{name} is {window}, shorter than the longest sequence of {longest} tokens"
    return None


def stretching_limit(config: Any) -> int | None:
    """Tokens up to which rotary positions are the same whatever else goes through the model.

    Above it they change with the longest sequence of a forward pass; None if they never do.

    Args:
        config: Of the text model.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") not in ("dynamic", "longrope"):
        return None
    return int(rope.get("original_max_position_embeddings") or config.max_position_embeddings)


def _slides(config: Any, layers: set[str]) -> bool:
    if layers:
        return "sliding_attention" in layers
    return bool(getattr(config, "use_sliding_window", True))
