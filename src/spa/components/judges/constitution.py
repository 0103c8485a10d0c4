"""Scores a response on each objective against its written definition, by asking a model.

Step 2 of SPA (arXiv 2511.06222), after sampling and again after refining. Every objective is a
question of its own, and all of a response are asked side by side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from spa.api import (
    Asks,
    ChatRequest,
    ChatResult,
    LabelRequest,
    LabelResult,
    Message,
    Objective,
    Prompt,
    Request,
    Response,
    Score,
    chat_all,
    label_all,
)
from spa.components.judges.configs import ConstitutionConfig
from spa.components.judges.parsing import parse_score
from spa.components.text import fill, transcript

__all__ = ["ConstitutionJudge"]


class ConstitutionJudge:
    """Scores by expected label or by a generated number.

    Mode ``expected``: with p_k the probability of label k as the next token and v_k its value,
    ``score = sum_k p_k v_k / sum_k p_k`` (compared with other readings in arXiv 2503.03064);
    unscored as ``low_label_mass`` when ``sum_k p_k`` is too small.
    Mode ``generate``: the number that the model writes; unscored as ``unparsable``.
    """

    def __init__(self, config: ConstitutionConfig) -> None:
        """Keeps the settings."""
        self._config = config

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest possible score."""
        return self._config.scale

    def will_ask(self) -> Sequence[Request]:
        """One request as all others will be, but for what is judged."""
        messages = (Message("user", self._config.template),)
        if self._config.mode == "expected":
            return [self._label_request(messages)]
        return [self._chat_request(messages)]

    def score(
        self, prompt: Prompt, response: Response, objectives: Sequence[Objective]
    ) -> Asks[Mapping[str, Score]]:
        """Returns one score an objective, keyed by its name."""
        asked = [self._messages(prompt, response, one, objectives) for one in objectives]
        if self._config.mode == "expected":
            labelled = yield from label_all([self._label_request(m) for m in asked])
            scores = [self._expected(result) for result in labelled]
        else:
            written = yield from chat_all([self._chat_request(m) for m in asked])
            scores = [self._generated(result) for result in written]
        return {o.name: score for o, score in zip(objectives, scores, strict=True)}

    def _messages(
        self,
        prompt: Prompt,
        response: Response,
        objective: Objective,
        objectives: Sequence[Objective],
    ) -> tuple[Message, ...]:
        lowest, highest = self.scale
        values = {
            "name": objective.name,
            "definition": objective.definition.strip(),
            "definitions": _definitions(objectives),
            "prompt": transcript(prompt.messages),
            "response": response.text,
            "lowest": f"{lowest:g}",
            "highest": f"{highest:g}",
        }
        return (Message("user", fill(self._config.template, values)),)

    def _label_request(self, messages: tuple[Message, ...]) -> LabelRequest:
        return LabelRequest(messages, labels=self._config.labels, prefill=self._config.prefill)

    def _chat_request(self, messages: tuple[Message, ...]) -> ChatRequest:
        return ChatRequest(
            messages,
            max_tokens=self._config.max_tokens,
            temperature=self._config.temperature,
            prefill=self._config.prefill,
        )

    def _expected(self, result: LabelResult) -> Score:
        if result.mass < self._config.min_label_mass or max(result.logprobs) == -math.inf:
            return Score(None, reason="low_label_mass", details={"label_mass": result.mass})
        shares = _shares(result.logprobs)
        value = math.fsum(p * v for p, v in zip(shares, self._config.label_values, strict=True))
        lowest, highest = self.scale
        top = max(range(len(shares)), key=shares.__getitem__)
        return Score(
            min(max(value, lowest), highest),  # the sum may round past the ends of the scale
            details={
                "label_mass": result.mass,
                "entropy": -math.fsum(p * math.log(p) for p in shares if p > 0),
                "top_label": self._config.labels[top],
            },
        )

    def _generated(self, result: ChatResult) -> Score:
        lowest, highest = self.scale
        value = parse_score(
            result.text, prefill=self._config.prefill, lowest=lowest, highest=highest
        )
        details = {"text": result.text}
        return Score(value, reason="unparsable" if value is None else None, details=details)


def _definitions(objectives: Sequence[Objective]) -> str:
    """All objectives in order of priority; the same whichever is asked for."""
    numbered = enumerate(objectives, start=1)
    return "\n\n".join(f"{n}. {one.name}: {one.definition.strip()}" for n, one in numbered)


def _shares(logprobs: Sequence[float]) -> list[float]:
    """Probabilities of the labels given that it is one of them; sums to 1."""
    top = max(logprobs)
    weights = [math.exp(logprob - top) for logprob in logprobs]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
