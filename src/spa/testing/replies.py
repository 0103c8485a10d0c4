"""Results that a model might have given, made without one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from spa.api import ChatRequest, ChatResult, FinishReason, LabelResult, Request

__all__ = ["canned_reply", "chat_result", "label_result"]


def chat_result(
    text: str,
    *,
    token_ids: Sequence[int] | None = None,
    finish_reason: FinishReason = "stop",
    prompt_tokens: int = 8,
) -> ChatResult:
    """A generated answer.

    Args:
        text: What the model wrote.
        token_ids: Its ids; by default one for each character and, when it stopped, an end token 0.
        finish_reason: ``"length"`` for an answer that was cut.
        prompt_tokens: Length of the question in tokens.
    """
    if token_ids is None:
        end = (0,) if finish_reason == "stop" else ()
        token_ids = (*map(ord, text), *end)
    return ChatResult(text, tuple(token_ids), finish_reason, prompt_tokens)


def label_result(probabilities: Sequence[float], *, prompt_tokens: int = 8) -> LabelResult:
    """A distribution over labels.

    Args:
        probabilities: Of each label in the order of the request, in [0, 1]; together at most 1,
            what is missing from 1 is the mass of everything else.
        prompt_tokens: Length of the question in tokens.

    Raises:
        ValueError: If these are no probabilities.
    """
    mass = math.fsum(probabilities)
    if any(not 0 <= p <= 1 for p in probabilities) or mass > 1 + 1e-9:
        raise ValueError(f"not probabilities that sum to at most 1: {list(probabilities)}")
    logprobs = tuple(math.log(p) if p > 0 else -math.inf for p in probabilities)
    return LabelResult(logprobs, min(mass, 1.0), prompt_tokens)


def canned_reply(request: Request) -> ChatResult | LabelResult:
    """Answers any request, always the same one in the same way, different ones differently.

    Chat answers end with a number from 1 to 9, so that judges who read one find it; labels get
    0.98 of the mass.
    """
    digest = hashlib.sha256(repr(request).encode()).digest()
    if isinstance(request, ChatRequest):
        return chat_result(f"Answer {digest.hex()[:8]}. Score: {digest[0] % 9 + 1}")
    weights = [1 + digest[place % len(digest)] for place in range(len(request.labels))]
    total = sum(weights) / 0.98
    return label_result([weight / total for weight in weights])
