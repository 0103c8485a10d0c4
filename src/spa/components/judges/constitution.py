"""Scores a response on each objective against its written definition, by asking a model.

Step 2 of SPA (arXiv 2511.06222), after sampling and again after refining. Every objective is a
question of its own, or several (see `spa.components.judges.readings`), and all of a response are
asked side by side.
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
from spa.components.judges.averaging import average
from spa.components.judges.configs import ConstitutionConfig
from spa.components.judges.parsing import parse_score
from spa.components.judges.readings import Reading, readings_of
from spa.components.text import fill, transcript

__all__ = ["ConstitutionJudge"]


class ConstitutionJudge:
    """Scores by expected label or by a generated number.

    Mode ``expected``: with p_k the probability of label k as the next token and v_k its value,
    ``score = sum_k p_k v_k / sum_k p_k`` (compared with other readings in arXiv 2503.03064);
    unscored as ``low_label_mass`` when ``sum_k p_k`` is too small.
    Mode ``generate``: the number that the model writes; unscored as ``unparsable``.
    With several rubrics, orders or repeats the score is the mean of all readings.
    """

    def __init__(self, config: ConstitutionConfig) -> None:
        """Keeps the settings."""
        self._config = config
        self._scale = config.scale
        self._readings = readings_of(config)

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest possible score."""
        return self._scale

    def will_ask(self) -> Sequence[Request]:
        """Requests as all others will be, but for what is judged: one for each that differs."""
        asked = [(Message("user", fill(r.template, _marks(r))),) for r in self._readings]
        ask = self._label_request if self._config.mode == "expected" else self._chat_request
        return list(dict.fromkeys(map(ask, asked)))

    def score(
        self, prompt: Prompt, response: Response, objectives: Sequence[Objective]
    ) -> Asks[Mapping[str, Score]]:
        """Returns one score an objective, keyed by its name."""
        questions = [(o, reading) for o in objectives for reading in self._readings]
        asked = [
            self._messages(prompt, response, o, reading, objectives) for o, reading in questions
        ]
        if self._config.mode == "expected":
            labelled = yield from label_all([self._label_request(m) for m in asked])
            scores = [self._expected(r, q) for r, (_, q) in zip(labelled, questions, strict=True)]
        else:
            written = yield from chat_all([self._chat_request(m) for m in asked])
            scores = [self._generated(r, q) for r, (_, q) in zip(written, questions, strict=True)]
        count = len(self._readings)
        return {
            o.name: average(scores[place * count : (place + 1) * count], self._config)
            for place, o in enumerate(objectives)
        }

    def _messages(
        self,
        prompt: Prompt,
        response: Response,
        objective: Objective,
        reading: Reading,
        objectives: Sequence[Objective],
    ) -> tuple[Message, ...]:
        lowest, highest = self._scale
        values = {
            "name": objective.name,
            "definition": objective.definition.strip(),
            "definitions": _definitions(objectives),
            "prompt": transcript(prompt.messages),
            "response": response.text,
            "lowest": f"{lowest:g}",
            "highest": f"{highest:g}",
            **_marks(reading),
        }
        return (Message("user", fill(reading.template, values)),)

    def _label_request(self, messages: tuple[Message, ...]) -> LabelRequest:
        return LabelRequest(messages, labels=self._config.labels, prefill=self._config.prefill)

    def _chat_request(self, messages: tuple[Message, ...]) -> ChatRequest:
        return ChatRequest(
            messages,
            max_tokens=self._config.max_tokens,
            temperature=self._config.temperature,
            prefill=self._config.prefill,
        )

    def _expected(self, result: LabelResult, reading: Reading) -> Score:
        if result.mass < self._config.min_label_mass or max(result.logprobs) == -math.inf:
            return Score(None, reason="low_label_mass", details={"label_mass": result.mass})
        shares = _shares(result.logprobs)
        value = math.fsum(p * v for p, v in zip(shares, reading.values, strict=True))
        lowest, highest = self._scale
        top = max(range(len(shares)), key=shares.__getitem__)
        return Score(
            min(max(value, lowest), highest),  # the sum may round past the ends of the scale
            details={
                "label_mass": result.mass,
                "entropy": -math.fsum(p * math.log(p) for p in shares if p > 0),
                "top_label": self._config.labels[top],
            },
        )

    def _generated(self, result: ChatResult, reading: Reading) -> Score:
        lowest, highest = self._scale
        value = parse_score(
            result.text, prefill=self._config.prefill, lowest=lowest, highest=highest
        )
        details = {"text": result.text}
        if value is not None and reading.mirrored:
            value = min(max(lowest + highest - value, lowest), highest)  # it may round past them
        return Score(value, reason="unparsable" if value is None else None, details=details)


def _definitions(objectives: Sequence[Objective]) -> str:
    """All objectives in order of priority; the same whichever is asked for."""
    numbered = enumerate(objectives, start=1)
    return "\n\n".join(f"{n}. {one.name}: {one.definition.strip()}" for n, one in numbered)


def _marks(reading: Reading) -> dict[str, str]:
    return {"worst": reading.worst, "best": reading.best}


def _shares(logprobs: Sequence[float]) -> list[float]:
    """Probabilities of the labels given that it is one of them; sums to 1."""
    top = max(logprobs)
    weights = [math.exp(logprob - top) for logprob in logprobs]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
