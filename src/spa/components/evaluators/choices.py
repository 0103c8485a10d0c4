"""Questions with choices, as rows of data have them, and the worked examples before them.

Read by the evaluator `multiple-choice`; `choice_texts` writes them down for a policy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import cast

from spa.api import JsonValue, Prompt, SpaError
from spa.components.evaluators.data import column, rows_of
from spa.components.evaluators.data_configs import MultipleChoiceConfig, ShotsConfig

__all__ = ["Shots", "choices_of", "question_of"]


def choices_of(prompt: Prompt) -> Sequence[str]:
    """The choices of a question of `question_of`."""
    return cast("Sequence[str]", prompt.meta["choices"])


def question_of(row: Prompt, config: MultipleChoiceConfig) -> Prompt:
    """A row as a question, with ``choices`` and ``answer``, the place of the right one, in `meta`.

    Raises:
        SpaError: If the row is not right.
    """
    value = column(row, config.choices_column, "choices_column")
    if isinstance(value, Mapping) and {"choices", "labels"} <= set(value):
        listed, labels = value["choices"], value["labels"]
        marked = isinstance(labels, Sequence) and list(labels).count(1) == 1
        answer: JsonValue = list(cast("Sequence[int]", labels)).index(1) if marked else None
    else:
        listed, answer = value, column(row, config.answer_column, "answer_column")
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        raise SpaError(f"row {row.id}: the choices must be a list of texts.")
    if not 2 <= len(listed) <= len(ascii_uppercase):
        raise SpaError(
            f"row {row.id} has {len(listed)} choices; from 2 to {len(ascii_uppercase)} can be"
            " asked for by a letter."
        )
    choices = [str(choice) for choice in listed]
    right = _place(answer, len(choices))
    if right is None:
        last = ascii_uppercase[len(choices) - 1]
        raise SpaError(
            f"row {row.id}: {answer!r} is not one of its choices. Valid: 0 to"
            f" {len(choices) - 1}, or A to {last}."
        )
    if config.shuffle is not None:
        order = sorted(range(len(choices)), key=lambda at: _rank(config.shuffle, row.id, at))
        choices, right = [choices[at] for at in order], order.index(right)
    kept = {k: v for k, v in row.meta.items() if k != config.choices_column}
    return replace(row, meta={**kept, "choices": choices, "answer": right})


class Shots:
    """The worked examples, read once; the first `ShotsConfig.n` that fit stand before a question.

    A question is never an example for itself, so that one file may hold both.
    """

    def __init__(self, shots: ShotsConfig, config: MultipleChoiceConfig) -> None:
        """Reads the rows.

        Raises:
            SpaError: If they cannot be had, or one is not right.
        """
        if "prompt_column" not in shots.model_fields_set:
            shots = shots.model_copy(update={"prompt_column": config.prompt_column})
        self._shots = shots
        self._of: dict[JsonValue, list[Prompt]] = {}
        for row in rows_of(shots):
            self._of.setdefault(self._group(row, "shots"), []).append(question_of(row, config))

    def before(self, question: Prompt) -> list[Prompt]:
        """The examples that stand before a question, in their order.

        Raises:
            SpaError: If there are too few.
        """
        group = self._group(question, "questions")
        own = (question.text, choices_of(question))
        others = [each for each in self._of.get(group, ()) if (each.text, choices_of(each)) != own]
        if len(others) < self._shots.n:
            where = "" if self._shots.by is None else f" with {self._shots.by} {group!r}"
            raise SpaError(
                f"row {question.id}: {self._shots.n} examples are to stand before it, and there are"
                f" {len(others)} others{where} in {self._shots.path or self._shots.dataset}. Add"
                f" some, or set shots.n to {len(others)} or less."
            )
        return others[: self._shots.n]

    def _group(self, row: Prompt, whose: str) -> JsonValue:
        by = self._shots.by
        return None if by is None else str(column(row, by, f"shots.by (in {whose})"))


def _place(answer: JsonValue, count: int) -> int | None:
    """The place of the right choice; None if there is none such."""
    if isinstance(answer, str):
        letter = answer.strip().upper()
        answer = ascii_uppercase.find(letter) if len(letter) == 1 else None
    if isinstance(answer, bool) or not isinstance(answer, int):
        return None
    return answer if 0 <= answer < count else None


def _rank(seed: int | None, row: str, place: int) -> str:
    return hashlib.sha256(f"{seed}|{row}|{place}".encode()).hexdigest()
