"""Samples that differ through temperature and through alternative system prompts.

Step 1 of SPA (arXiv 2511.06222): from a prompt to its samples y_1 .. y_n, which are judged next.
Only sampling sees the alternative system prompts; judging and training see the prompt as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice

from spa.api import Asks, ChatRequest, Message, Prompt, Response, chat_all
from spa.components.generators.configs import DiverseConfig
from spa.components.reasoning import reasoning_details

__all__ = ["DiverseGenerator"]


class DiverseGenerator:
    """Asks n times, sample i with temperature i and system prompt i, each list taken in turn."""

    def __init__(self, config: DiverseConfig) -> None:
        """Lays out temperature and system prompt of each sample."""
        self._config = config
        temperature = config.temperature
        temperatures = (temperature,) if isinstance(temperature, float) else temperature
        self._settings = tuple(
            islice(zip(cycle(temperatures), cycle((None, *config.system_prompts))), config.n)
        )
        self._kinds = tuple(dict.fromkeys(self._settings))  # many samples may be asked for alike

    def sample(self, prompt: Prompt) -> Asks[Sequence[Response]]:
        """Returns n samples; their details hold temperature, added system prompt and reasoning."""
        asked = {each: self._request(prompt, *each) for each in self._kinds}
        results = yield from chat_all([asked[each] for each in self._settings])
        return [
            Response(
                result.text,
                result.token_ids,
                result.finish_reason,
                {
                    "temperature": temperature,
                    "system_prompt": system_prompt,
                    **reasoning_details(result),
                },
            )
            for result, (temperature, system_prompt) in zip(results, self._settings, strict=True)
        ]

    def _request(
        self, prompt: Prompt, temperature: float, system_prompt: str | None
    ) -> ChatRequest:
        return ChatRequest(
            messages=_with_system(prompt.messages, system_prompt),
            max_tokens=self._config.max_tokens,
            temperature=temperature,
            top_p=self._config.top_p,
        )


def _with_system(messages: tuple[Message, ...], added: str | None) -> tuple[Message, ...]:
    """Adds a system prompt.

    A prompt's own system message says what its task is, so it is kept: the added text goes before
    it, in one message, as chat templates know only one.
    """
    if added is None:
        return messages
    if messages[0].role == "system":
        return (Message("system", f"{added}\n\n{messages[0].content}"), *messages[1:])
    return (Message("system", added), *messages)
