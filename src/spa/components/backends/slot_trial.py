"""Which rows a model may decode in slots: what its config says, then a trial.

Slots are exact only if nothing but the attention looks at other tokens, and if the attention heeds
the mask and the positions that it is given. Where they are not, rows go through `generate`.
"""

from __future__ import annotations

import inspect
import logging
from typing import Any

import torch

from spa.components.backends.prefill import Chunk, PromptIds, Runner
from spa.components.backends.slots import SlotCache
from spa.models.packing_limits import distance, packing_tolerance

__all__ = ["longest_in_slots"]

logger = logging.getLogger(__name__)

_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
_NO_LIMIT = 1 << 60


def longest_in_slots(model: Any) -> int:  # noqa: ANN401  # PEFT models, too
    """Most tokens of prompt and answer for which slots give the model's own results; 0 for none."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    limit = _limit(plain)
    if limit > 0 and (fault := _fault(model)):
        logger.info("rows are not decoded in slots: %s", fault)
        return 0
    return limit


def _limit(model: Any) -> int:  # noqa: ANN401
    """What the config says."""
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ())
    if (
        getattr(model.config, "is_encoder_decoder", False)
        or getattr(model, "_is_stateful", False)
        or "position_ids" not in inspect.signature(model.forward).parameters
        or layers - _ATTENTION
        # GPT-Neo: counted in places of the row, whatever the positions say.
        or "local" in (getattr(config, "attention_layers", None) or ())
        # Positions that depend on the longest row of a forward pass.
        or (getattr(config, "rope_parameters", None) or {}).get("rope_type")
        in ("dynamic", "longrope")
    ):
        return 0
    slides = (
        "sliding_attention" in layers if layers else getattr(config, "use_sliding_window", True)
    )
    limits = [
        getattr(config, name, None)
        for name, applies in (
            ("sliding_window", slides),
            ("attention_chunk_size", "chunked_attention" in layers),
        )
        if applies
    ]
    return min([limit for limit in limits if limit], default=_NO_LIMIT)


def _fault(model: Any) -> str | None:  # noqa: ANN401
    """Why slots are not to be used; None if they give the model's own logits."""
    try:
        worst = _difference(model)
    except Exception as error:  # models raise whatever they like at inputs they do not expect
        logger.debug("the model does not run in slots", exc_info=True)
        return f"the model does not run there ({(str(error) or repr(error)).splitlines()[0]})"
    # Written so that what is not a number is a fault, too.
    if worst <= packing_tolerance(model.dtype):
        return None
    return f"they give other log-probabilities than the model's own (by {worst:.2g} nats)"


@torch.inference_mode()
def _difference(model: Any) -> float:  # noqa: ANN401
    """Largest mean difference to plain calls, in nats, on made-up rows of different length."""
    size = model.get_input_embeddings().num_embeddings
    made_up = [tuple(n * 7919 % size for n in range(a, b)) for a, b in ((1, 8), (1, 5))]
    following = 5 * 7919 % size
    runner = Runner(model)
    prompts = tuple(PromptIds(ids, (2, 3)) for ids in made_up)
    logits_BV, held, cache = runner.prefill(Chunk(prompts, (0, 1)))
    pool = SlotCache(2, cache.end + 2)
    pool.start = pool.end = cache.end + 1
    pool.take(cache, [0, 1], 0, 2, at=pool.end)
    pool.start = 0
    nothing, new = held.new_zeros(2, 1), held.new_ones(2, 1)
    mask = runner.closed(torch.cat([nothing, held, new], 1))[:, None, None]
    positions = torch.tensor([[len(ids)] for ids in made_up], device=runner.device)
    ids = torch.full((2, 1), following, device=runner.device)
    next_BV = runner(ids, positions, mask, pool)
    expected = [
        model(
            input_ids=torch.tensor([[*prompt, following]], device=runner.device), use_cache=False
        ).logits[0, -2:]
        for prompt in made_up
    ]
    found = torch.stack([logits_BV, next_BV], 1)
    return distance(torch.cat(expected), found.flatten(0, 1))
