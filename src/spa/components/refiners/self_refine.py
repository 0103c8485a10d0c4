"""One improved response, written by the model from its own samples and their scores.

Step 3 of SPA (arXiv 2511.06222): from a judged group to y~, which is judged the same way next.
"""

from __future__ import annotations

from collections.abc import Sequence

from spa.api import Asks, ChatRequest, Group, Message, Objective, Response, chat
from spa.components.reasoning import reasoning_details
from spa.components.refiners.configs import SelfRefineConfig
from spa.components.refiners.showing import shown
from spa.components.text import fill

__all__ = ["SelfRefiner"]


class SelfRefiner:
    """Shows objectives by priority, prompt, samples and their scores; asks for one answer."""

    def __init__(self, config: SelfRefineConfig) -> None:
        """Keeps the settings."""
        self._config = config

    def refine(self, group: Group, objectives: Sequence[Objective]) -> Asks[Response | None]:
        """Returns the refined response as it was generated; None if it is blank."""
        result = yield from chat(
            ChatRequest(
                messages=self._messages(group, objectives),
                max_tokens=self._config.max_tokens,
                temperature=self._config.temperature,
                top_p=self._config.top_p,
                prefill=self._config.prefill,
            )
        )
        if not result.text.strip():
            return None
        return Response(
            text=result.text,
            token_ids=result.token_ids,
            finish_reason=result.finish_reason,
            details={
                "temperature": self._config.temperature,
                "samples": len(group.samples),
                **reasoning_details(result),
            },
        )

    def _messages(self, group: Group, objectives: Sequence[Objective]) -> tuple[Message, ...]:
        values = shown(group, objectives, self._config.max_chars)
        return (Message("user", fill(self._config.template, values)),)
