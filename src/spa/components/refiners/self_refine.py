"""One improved response, written by the model from its own samples and their scores.

Step 3 of SPA (arXiv 2511.06222): from a judged group to y~, which is judged the same way next.
"""

from __future__ import annotations

from collections.abc import Sequence

from spa.api import Asks, ChatRequest, Group, Message, Objective, Response, Scored, chat
from spa.components.reasoning import reasoning_details
from spa.components.refiners.configs import SelfRefineConfig
from spa.components.text import fill, transcript

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
        values = {
            "objectives": "\n".join(
                f"{place}. {o.name}: {o.definition.strip()}"
                for place, o in enumerate(objectives, 1)
            ),
            "prompt": transcript(group.prompt.messages),
            "samples": "\n\n".join(
                f"Answer {place} got {_scores(scored, objectives)}:\n{self._shown(scored)}"
                for place, scored in enumerate(group.samples, 1)
            ),
        }
        return (Message("user", fill(self._config.template, values)),)

    def _shown(self, scored: Scored) -> str:
        text = scored.response.text
        if len(text) <= self._config.max_chars:
            return text
        return text[: self._config.max_chars] + " \N{HORIZONTAL ELLIPSIS}"


def _scores(scored: Scored, objectives: Sequence[Objective]) -> str:
    return ", ".join(_score(scored, objective) for objective in objectives)


def _score(scored: Scored, objective: Objective) -> str:
    score = scored.scores.get(objective.name)
    if score is None or score.value is None:
        return f"no score for {objective.name}"
    best = "" if objective.maximum is None else f" of {objective.maximum:g}"
    return f"{objective.name} {round(score.value, 2):g}{best}"
