"""Runs a model on prompts that begin alike, for the log-probabilities of the labels after them.

Packed where that gives the model's own log-probabilities: its config must not speak against it,
and a kernel must have passed a trial, made once for a model. Else every prompt is a row of its
own, in a call of its own: nothing that a model may do with padding can then matter.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from spa.components.backends.exact_head import exact_head
from spa.components.backends.label_trie import pack_prompts
from spa.components.backends.memory import is_out_of_memory
from spa.models.packing import FLEX_BLOCK, Kernel, attention_inputs, kernel_attention, kernels
from spa.models.packing_limits import (
    distance,
    packing_obstacle,
    packing_tolerance,
    stretching_limit,
)
from spa.models.unwrapping import forward_parameters, unwrapped

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["label_logprobs", "packable", "packed_kernel"]

logger = logging.getLogger(__name__)

_kernels: WeakKeyDictionary[Any, Kernel | None] = WeakKeyDictionary()


def packable(model: PreTrainedModel, longest: int) -> bool:
    """Whether a model's config allows packing prompts of up to so many tokens."""
    plain = unwrapped(model)
    limit = stretching_limit(plain.config.get_text_config())
    if limit is not None and longest > limit:
        return False
    return packing_obstacle(plain, longest) is None


def packed_kernel(model: PreTrainedModel) -> Kernel | None:
    """The fastest kernel that gives the model's own log-probabilities; None if none does."""
    plain = unwrapped(model)
    if plain not in _kernels:
        _kernels[plain] = _tried(model)
    return _kernels[plain]


@torch.no_grad()
def label_logprobs(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    labels: Sequence[Sequence[int]],
    kernel: Kernel | None,
    pad_id: int = 0,
) -> list[list[float]]:
    """Natural log-probabilities of the labels of each prompt as its next token.

    Args:
        model: With or without a PEFT adapter.
        prompts: Token ids, in lexicographic order, none empty.
        labels: Token ids to look at after each prompt.
        kernel: How to attend to the packed row; None: a call for each prompt.
        pad_id: Any valid token id.

    Returns:
        For each prompt as many as it has labels, from a softmax in fp32.
    """
    if kernel is None:
        return [
            _picked(_logits(model, prompt, [len(prompt) - 1], {}), [0], [chosen])[0]
            for prompt, chosen in zip(prompts, labels, strict=True)
        ]
    logits_EV, rows = _packed_logits(model, prompts, kernel, pad_id)
    return _picked(logits_EV, rows, labels)


def _packed_logits(
    model: PreTrainedModel, prompts: Sequence[list[int]], kernel: Kernel, pad_id: int
) -> tuple[torch.Tensor, list[int]]:
    """(E, V) logits after E different prompts, and the row of each prompt among them."""
    packed = pack_prompts(prompts, FLEX_BLOCK if kernel == "flex" else 1, pad_id)
    plain = unwrapped(model)
    device = _device(model)
    implementation = str(plain.config._attn_implementation or "sdpa")
    inputs = attention_inputs(packed.tree, kernel, implementation, device)
    inputs["position_ids"] = torch.tensor([packed.position_ids], device=device)
    rows = {
        end: row for row, end in enumerate(sorted(set(packed.ends)))
    }  # the same prompt, one end
    with kernel_attention(plain, kernel):
        logits_EV = _logits(model, packed.input_ids, list(rows), inputs)
    return logits_EV, [rows[end] for end in packed.ends]


def _logits(
    model: PreTrainedModel, ids: Sequence[int], places: Sequence[int], inputs: dict[str, Any]
) -> torch.Tensor:
    """(E, V) logits after the tokens at E places of a row."""
    device = _device(model)
    at = torch.tensor(places, device=device)
    plain = unwrapped(model)
    narrow = "logits_to_keep" in forward_parameters(plain)
    if narrow:
        inputs = {**inputs, "logits_to_keep": at}
    with exact_head(plain) if narrow else nullcontext():  # of a whole row it would be too much
        output = model(input_ids=torch.tensor([ids], device=device), use_cache=False, **inputs)
    logits: torch.Tensor = output.logits[0]
    return logits if narrow else logits[at]


def _picked(
    logits_EV: torch.Tensor, rows: Sequence[int], labels: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Log-probabilities of the labels of each prompt, whose logits are in one of the rows."""
    normalizers = [row.float().logsumexp(-1) for row in logits_EV]  # never all logits in fp32
    return [
        (logits_EV[row, list(chosen)].float() - normalizers[row]).tolist()
        for row, chosen in zip(rows, labels, strict=True)
    ]


def _device(model: PreTrainedModel) -> torch.device:
    device: torch.device = next(model.parameters()).device
    return device


@torch.no_grad()
def _tried(model: PreTrainedModel) -> Kernel | None:
    """Tries the kernels on a few made-up tokens, where the judgements of two prompts branch."""
    name = type(unwrapped(model)).__name__
    prompts = _made_up(unwrapped(model).get_input_embeddings().num_embeddings)
    expected_NV = torch.cat([_logits(model, each, [len(each) - 1], {}) for each in prompts])
    tolerance = packing_tolerance(next(model.parameters()).dtype)
    faults: list[str] = []
    for kernel in kernels(_device(model)):
        try:
            logits_EV, rows = _packed_logits(model, prompts, kernel, 0)
            worst = distance(expected_NV, logits_EV[rows])
        except Exception as error:  # models raise whatever they like at inputs they do not expect
            if is_out_of_memory(error):
                raise
            logger.debug("kernel %s does not run: %s", kernel, error, exc_info=True)
            faults.append(f"{kernel} does not run ({(str(error) or repr(error)).splitlines()[0]})")
            continue
        # Written so that what is not a number is a fault, too.
        if worst <= tolerance:
            logger.info("%s: %s", name, "; ".join([f"judges packed rows with {kernel}", *faults]))
            return kernel
        faults.append(f"{kernel} differs from the model's own log-probabilities by {worst:.2g}")
    why = ", ".join(faults)
    logger.warning("%s: judgements share nothing, which is slow: %s", name, why)
    return None


def _made_up(vocabulary: int) -> list[list[int]]:
    """Prompts that branch three times, sorted."""
    numbers = iter(range(1, 1000))

    def tokens(count: int) -> list[int]:
        return [next(numbers) * 7919 % vocabulary for _ in range(count)]

    start = tokens(4)
    conversations = [start + tokens(3) for _ in range(2)]
    responses = [c + tokens(1 + n) for c in conversations for n in (2, 3)]
    return sorted(r + tokens(1 + n) for r in responses for n in (1, 2))
