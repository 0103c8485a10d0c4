"""Makes a `ChatResult` of a server's answer."""

from __future__ import annotations

from spa.api import ChatRequest, ChatResult, FinishReason, RequestFailure
from spa.models.reasoning import Parted, part_text
from spa_openai.wire import Answer

__all__ = ["chat_result"]


def chat_result(
    request: ChatRequest, answer: Answer, *, max_context: int | None = None
) -> ChatResult | RequestFailure:
    """The result, or why there is none: the service withheld it, or the prompt was too long."""
    choice = answer.choice
    if choice.refused:
        return RequestFailure(
            "refused",
            "a content filter of the service withheld the answer. Such rows can be answered by a "
            "model of your own; the others go on.",
        )
    usage = answer.usage
    prompt_tokens = usage.prompt_tokens if usage is not None else 0
    if max_context is not None and prompt_tokens + request.max_tokens > max_context:
        return RequestFailure(
            "too_long",
            f"the prompt has {prompt_tokens:,} tokens and {request.max_tokens:,} are to be "
            f"generated, but max_context is {max_context:,}. Shorten the prompt or lower "
            "max_tokens.",
        )
    parted = _parted(request, choice.message.content or "", choice.reasoning)
    return ChatResult(
        text=parted.answer,
        token_ids=choice.token_ids,
        finish_reason=_finish(choice.finish_reason, request, answer),
        prompt_tokens=prompt_tokens,
        reasoning=parted.reasoning,
        new_tokens=usage.completion_tokens if usage is not None else None,
    )


def _parted(request: ChatRequest, text: str, reasoning: str) -> Parted:
    if request.prefill:
        # Some servers give the begun answer back with what they added to it.
        begun, stripped = request.prefill.strip(), text.strip()
        return Parted("", stripped.removeprefix(begun).strip() if begun else stripped)
    if reasoning:
        return Parted(reasoning.strip(), text.strip())
    return part_text(text)


def _finish(reason: str, request: ChatRequest, answer: Answer) -> FinishReason:
    """``length`` where a server says so, or says nothing and the limit is reached."""
    if reason == "length":
        return "length"
    generated = answer.usage.completion_tokens if answer.usage is not None else 0
    return "length" if not reason and generated >= request.max_tokens else "stop"
