"""One answer in words to a conversation: how evaluators with prompts of their own ask policies."""

from __future__ import annotations

from collections.abc import Sequence

from spa.api import Asks, ChatRequest, Message, Response, chat
from spa.components.evaluators.data_configs import GenerateConfig

__all__ = ["answered"]


def answered(messages: tuple[Message, ...], config: GenerateConfig) -> Asks[Sequence[Response]]:
    """Asks for one answer and gives it as a response."""
    result = yield from chat(
        ChatRequest(messages=messages, max_tokens=config.max_tokens, temperature=config.temperature)
    )
    return [
        Response(
            text=result.text,
            token_ids=result.token_ids,
            finish_reason=result.finish_reason,
            details={"reasoning": result.reasoning} if result.reasoning else {},
        )
    ]
