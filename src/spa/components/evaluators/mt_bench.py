"""Questions in two turns, each answer graded from 1 to 10 by a judge: MT-Bench and files like it.

Brings prompts of its own. The later turn is asked with what the policy itself answered to the
earlier one; single-answer grading of arXiv 2306.05685, with other words to the judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from spa.api import (
    Asks,
    ChatRequest,
    EvaluationItem,
    JsonValue,
    Message,
    Metric,
    Objective,
    Prompt,
    Request,
    RequestError,
    Response,
    SpaError,
    chat_all,
)
from spa.components.evaluators.answering import answered
from spa.components.evaluators.data import column, rows_of
from spa.components.evaluators.metrics import Row, compared, models_of, series_of
from spa.components.evaluators.mt_bench_config import MtBenchConfig
from spa.components.evaluators.templates import MT_BENCH_REFERENCE
from spa.components.judges.parsing import parse_score
from spa.components.text import fill, transcript

__all__ = ["MtBenchEvaluator"]

LOWEST, HIGHEST = 1, 10
TURN = "turn_"


class MtBenchEvaluator:
    """Mean grade of every model: over all turns, by turn, and by category.

    Metrics, over questions, with the paired difference of each later model from the first:
    ``score``, the mean over a question's turns; ``turn_1``, ``turn_2``, ...; ``score:CATEGORY``;
    and ``cut_short``, the share of answers that reached ``max_tokens``. A question with an answer
    whose grade cannot be read is missing in ``score``.
    """

    def __init__(self, config: MtBenchConfig) -> None:
        """Keeps the settings; reads nothing."""
        self._config = config

    def prompts(self) -> Iterator[Prompt]:
        """The questions: all their user turns, with ``category`` and ``references`` in `meta`.

        Raises:
            SpaError: If they cannot be had, or a row is not right.
        """
        return (self._question(row) for row in rows_of(self._config, self._config.turns_column))

    def respond(self, prompt: Prompt) -> Asks[Sequence[Response]]:
        """An answer to every turn, each asked with the turns and answers before it."""
        category = str(prompt.meta["category"])
        temperature = self._config.temperatures.get(category, self._config.temperature)
        config = self._config.model_copy(update={"temperature": temperature})
        responses: list[Response] = []
        for place in range(len(prompt.messages)):
            said = _conversation(prompt, [response.text for response in responses], place)
            responses += yield from answered(said, config)
        return responses

    def will_ask(self) -> Sequence[Request]:
        """The request to the judge."""
        return [self._request((Message("user", ""),), "", None)]

    def evaluate(
        self, item: EvaluationItem, objectives: Sequence[Objective]
    ) -> Asks[Mapping[str, JsonValue]]:
        """The grade of every turn of each model, nothing where there is none, and the verdicts."""
        del objectives
        row: dict[str, JsonValue] = {
            "prompt_id": item.prompt.id,
            "models": list(item.answers),
            "category": item.prompt.meta["category"],
        }
        for model, answers in item.answers.items():
            responses = [answer.response for answer in answers]
            if not responses:
                continue
            cut = [response.finish_reason == "length" for response in responses]
            row[f"{model}:cut_short"] = sum(cut) / len(cut)
            try:
                verdicts = yield from chat_all(self._requests(item.prompt, responses))
            except RequestError as error:
                row[f"{model}:failure"] = error.failure.reason
                continue
            grades = [_grade(verdict.text) for verdict in verdicts]
            for number, (grade, verdict) in enumerate(zip(grades, verdicts, strict=True), start=1):
                row[f"{model}:{TURN}{number}"] = grade
                row[f"{model}:verdict_{number}"] = verdict.text
            known = [grade for grade in grades if grade is not None]
            if len(known) == len(item.prompt.messages):
                row[f"{model}:score"] = sum(known) / len(known)
        return row

    def summary(self, rows: Sequence[Row], objectives: Sequence[Objective]) -> Sequence[Metric]:
        """Returns the grades of all, of each turn and of each category, and what was cut."""
        del objectives
        models = models_of(rows)
        keys = {key.partition(":")[2] for row in rows for key in row}
        turns = sorted(int(key.removeprefix(TURN)) for key in keys if key.startswith(TURN))
        metrics = [
            metric
            for name in ("score", *(f"{TURN}{number}" for number in turns), "cut_short")
            for metric in compared(
                name, series_of(rows, models, name), self._config, shares=name == "cut_short"
            )
        ]
        for category in dict.fromkeys(str(row["category"]) for row in rows):
            own = [row for row in rows if row["category"] == category]
            series = series_of(own, models, "score")
            metrics += compared(f"score:{category}", series, self._config)
        return metrics

    def _requests(self, prompt: Prompt, responses: Sequence[Response]) -> list[ChatRequest]:
        references = cast("Sequence[str | None]", prompt.meta["references"])
        texts = [response.text for response in responses]
        return [
            self._request(_conversation(prompt, texts, place), text, references[place])
            for place, text in enumerate(texts)
        ]

    def _request(
        self, conversation: tuple[Message, ...], answer: str, reference: str | None
    ) -> ChatRequest:
        shown = "" if reference is None else fill(MT_BENCH_REFERENCE, {"reference": reference})
        values = {
            "conversation": transcript(conversation),
            "answer": answer,
            "reference": shown,
        }
        return ChatRequest(
            messages=(Message("user", fill(self._config.template, values)),),
            max_tokens=self._config.judge_max_tokens,
            temperature=0.0,
        )

    def _question(self, row: Prompt) -> Prompt:
        config = self._config
        if any(turn.role != "user" or not turn.content.strip() for turn in row.messages):
            raise SpaError(
                f"row {row.id}: column {config.turns_column!r} must be a list of user turns as"
                " texts, none of them empty."
            )
        count = len(row.messages)
        given = row.meta.get(config.reference_column)
        references = given or [None] * count
        if isinstance(references, str) or not isinstance(references, Sequence):
            raise SpaError(f"row {row.id}: the references must be a list of texts, one a turn.")
        if len(references) != count:
            raise SpaError(
                f"row {row.id} has {count} turns and {len(references)} references. Give one a turn,"
                " null where there is none."
            )
        category = str(column(row, config.category_column, "category_column"))
        kept = [None if each is None else str(each) for each in references]
        return replace(row, meta={**row.meta, "category": category, "references": kept})


def _conversation(prompt: Prompt, answers: Sequence[str], place: int) -> tuple[Message, ...]:
    """The turns up to one, with the policy's answers to those before it."""
    said: list[Message] = []
    for turn, answer in zip(prompt.messages[:place], answers, strict=False):
        said += [turn, Message("assistant", answer)]
    return (*said, prompt.messages[place])


def _grade(verdict: str) -> float | None:
    """The score on the last line, else the only one in the verdict; None if there is none."""
    lines = [line for line in verdict.splitlines() if line.strip()]
    for text in (*lines[-1:], verdict):
        found = parse_score(text, prefill="", lowest=LOWEST, highest=HIGHEST)
        if found is not None:
            return found
    return None
