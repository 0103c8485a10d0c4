"""Makes a `ChatResult` of a server's answer: text, reasoning, why it ended, what was counted."""

from __future__ import annotations

from spa.api import ChatRequest, ChatResult, FinishReason
from spa.models.reasoning import Parted, part_text
from spa_openai.wire import Answer

__all__ = ["chat_result"]


def chat_result(request: ChatRequest, answer: Answer) -> ChatResult:
    """The result of an answer that was not withheld."""
    choice, usage = answer.choice, answer.usage
    parted = _parted(request, choice.message.content or "", choice.reasoning)
    return ChatResult(
        text=parted.answer,
        token_ids=choice.token_ids,
        finish_reason=_finish(choice.finish_reason, request, answer),
        prompt_tokens=usage.prompt_tokens if usage is not None else 0,
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
