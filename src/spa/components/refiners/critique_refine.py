"""One improved response, written after a critique of the samples.

Another way through step 3 of SPA (arXiv 2511.06222): the model first says in words what is wrong
with its own samples, and then writes with that before it, as in Self-Refine (arXiv 2303.17651).
"""

from __future__ import annotations

from collections.abc import Sequence

from spa.api import Asks, ChatRequest, Group, Message, Objective, Response, chat
from spa.components.reasoning import reasoning_details
from spa.components.refiners.configs import CritiqueRefineConfig
from spa.components.refiners.showing import cut, shown
from spa.components.text import fill

__all__ = ["CritiqueRefiner"]


class CritiqueRefiner:
    """Asks for a critique of all samples, then for one answer that heeds it."""

    def __init__(self, config: CritiqueRefineConfig) -> None:
        """Keeps the settings."""
        self._config = config

    def refine(self, group: Group, objectives: Sequence[Objective]) -> Asks[Response | None]:
        """Returns the refined response as it was generated; None if it or the critique is blank."""
        config = self._config
        values = shown(group, objectives, config.max_chars)
        found = yield from chat(
            ChatRequest(
                messages=(Message("user", fill(config.critique_template, values)),),
                max_tokens=config.critique_max_tokens,
                temperature=config.critique_temperature,
                top_p=config.top_p,
                prefill=config.critique_prefill,
            )
        )
        critique = found.text.strip()
        if not critique:
            return None
        told = {**values, "critique": cut(critique, config.max_chars)}
        result = yield from chat(
            ChatRequest(
                messages=(Message("user", fill(config.template, told)),),
                max_tokens=config.max_tokens,
                temperature=config.temperature,
                top_p=config.top_p,
                prefill=config.prefill,
            )
        )
        if not result.text.strip():
            return None
        return Response(
            text=result.text,
            token_ids=result.token_ids,
            finish_reason=result.finish_reason,
            details={
                "temperature": config.temperature,
                "samples": len(group.samples),
                "critique": cut(critique, config.kept_chars),
                **reasoning_details(result),
            },
        )
