"""Which layouts give a model's own log-probabilities: what its config says, then a trial.

Packing is exact only if nothing but the attention looks at other tokens, and if the attention
heeds the mask and the positions it is given. A layout that is not exact is never used: training
falls back to one row a response, and the log says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

from spa.models.packing import kernels
from spa.models.packing_limits import packing_obstacle, packing_tolerance, stretching_limit
from spa.models.unwrapping import unwrapped
from spa.training.encoding import EncodedGroup
from spa.training.forward import Forward, forwarding
from spa.training.layout import Part, whole

__all__ = ["Packing", "choose_forward", "packing_obstacle"]

logger = logging.getLogger(__name__)

Packing = Literal["auto", "segments", "flex", "dense", "none"]


def choose_forward(
    model: Any,
    *,
    pad_id: int,
    longest: int,
    dtype: torch.dtype,
    packing: Packing = "auto",
    context: Callable[[], AbstractContextManager[object]],
) -> Forward:
    """The fastest way to run the model that gives its own log-probabilities.

    Args:
        model: The model, with or without a PEFT adapter.
        pad_id: Any valid token id.
        longest: Tokens of the longest prompt with one response.
        dtype: What forward passes compute in.
        packing: ``"auto"``, a kernel to insist on, or ``"none"``.
        context: The context of a forward pass.
    """
    plain = unwrapped(model)
    device = next(plain.parameters()).device
    implementation = str(plain.config._attn_implementation or "sdpa")
    trial = _Trial(model, context, packing_tolerance(dtype))
    chunked = trial.fault(Forward(pad_id, None, True, implementation)) is None
    if not chunked:
        logger.warning(
            "%s changes its logits in a way that is not known here: all logits are computed and "
            "kept, so training needs more memory than with other models",
            type(plain).__name__,
        )
    if doubt := _length_doubt(plain.config.get_text_config(), longest):
        logger.warning("%s", doubt)
    fallback = Forward(pad_id, None, chunked, implementation)
    if packing == "none":
        return fallback
    reason = packing_obstacle(plain, longest)
    if reason is None:
        faults: list[str] = []
        for kernel in kernels(device) if packing == "auto" else (packing,):
            forward = Forward(pad_id, kernel, chunked, implementation)
            fault = trial.fault(forward)
            if fault is None:
                said = "; ".join([kernel, *faults])
                logger.info("each prompt is packed with its responses (%s)", said)
                return forward
            faults.append(f"{kernel} {fault}")
        reason = f"in a trial {', '.join(faults)}"
    logger.warning("prompts are not shared between responses: %s", reason)
    return fallback


def _length_doubt(config: Any, longest: int) -> str | None:
    """What to say of rotary positions that change with the longest sequence of a forward pass.

    In no layout do they give every sequence what it would get alone, once one is above the limit.
    """
    limit = stretching_limit(config)
    if limit is None or longest <= limit:
        return None
    kind = config.rope_parameters["rope_type"]
    return (
        f"the model's positions ({kind}) change with the longest sequence of a forward pass above "
        f"{limit} tokens, so log-probabilities depend on what goes through together. "
        f"Set train.max_length: {limit}"
    )


class _Trial:
    """Compares a `Forward` with plain calls of the model, on a few made-up tokens."""

    def __init__(
        self, model: Any, context: Callable[[], AbstractContextManager[object]], tolerance: float
    ) -> None:
        self.model, self.context, self.tolerance = model, context, tolerance
        size = unwrapped(model).get_input_embeddings().num_embeddings
        self.parts = whole([_made_up(7, (3, 4), size), _made_up(3, (2, 1, 5), size)])
        self.expected = self._run(self._plain)

    def fault(self, forward: Forward) -> str | None:
        """Why it is not to be used; None if its log-probabilities are the model's own."""

        def run() -> list[torch.Tensor]:
            with forwarding(self.model, forward):
                found = forward(self.model, self.parts)
            lengths = found.mask.sum(-1).long().tolist()
            return [row[:n] for row, n in zip(found.logprobs, lengths, strict=True)]

        try:
            found = self._run(run)
            if forward.kernel == "flex":
                self._backward(forward)
        except Exception as error:  # models raise whatever they like at inputs they do not expect
            logger.debug("kernel %s does not run: %s", forward.kernel, error, exc_info=True)
            return f"does not run ({(str(error) or repr(error)).splitlines()[0]})"
        worst = max((a - b).abs().max().item() for a, b in zip(found, self.expected, strict=True))
        # Written so that what is not a number is a fault, too.
        if worst <= self.tolerance:
            return None
        return f"gives other log-probabilities than the model's own (by {worst:.2g} nats)"

    def _backward(self, forward: Forward) -> None:
        """Runs what a compiled kernel has apart from its forward pass, and may lack."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        with forwarding(self.model, forward), self.context():
            total = forward(self.model, self.parts).logprobs.sum()
            torch.autograd.grad(total, trained, allow_unused=True)

    def _run(self, compute: Callable[[], list[torch.Tensor]]) -> list[torch.Tensor]:
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad(), self.context():
                return [row.float().cpu() for row in compute()]
        finally:
            self.model.train(was_training)

    def _plain(self) -> list[torch.Tensor]:
        device = next(self.model.parameters()).device
        rows = []
        for prompt, response in _pairs(self.parts):
            ids = torch.tensor([prompt + response], device=device)
            logits = self.model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
            rows.append(
                logits.float().log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0]
            )
        return rows


def _pairs(parts: Sequence[Part]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(part.group.prompt, response) for part in parts for response in part.responses]


def _made_up(prompt: int, responses: tuple[int, ...], vocabulary: int) -> EncodedGroup:
    """A group of tokens spread over the vocabulary."""
    numbers = iter(range(1, 1 + prompt + sum(responses)))

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(next(numbers) * 7919 % vocabulary for _ in range(count))

    rows = len(responses)
    return EncodedGroup(
        prompt_id="trial",
        prompt=tokens(prompt),
        responses=tuple(tokens(length) for length in responses),
        response_ids=tuple(map(str, range(rows))),
        scores=((0.0,),) * rows,
        chosen=(),
        rejected=(),
        gap_sum=(),
        gap_l1=(),
    )
