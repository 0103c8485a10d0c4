"""How a question with choices is put to a policy: in a conversation, or as plain text.

The plain form is that of lm-evaluation-harness for MMLU: description, worked examples and question
in one text, which the letter continues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import cast

from spa.api import JsonValue, LabelRequest, Message, Prompt
from spa.components.evaluators.data_configs import MultipleChoiceConfig
from spa.components.text import fill

__all__ = ["kind_of_request", "written_request"]

BETWEEN = "\n\n"
"""What stands between an example and what follows it in plain text."""


def written_request(question: Prompt, config: MultipleChoiceConfig) -> LabelRequest:
    """Asks for the letters of a question, whose examples are ``shots`` in its `meta`."""
    meta = {**question.meta, "prompt": question.text}
    description = fill(config.description, _values(meta, underscores=" "))
    shots = cast("Sequence[Mapping[str, JsonValue]]", question.meta.get("shots", ()))
    count = len(cast("Sequence[str]", question.meta["choices"]))
    if config.format == "chat":
        turns = [Message("system", description)] if description else []
        for shot in shots:
            turns += [
                Message("user", _asked(shot, config)),
                Message("assistant", _solved(shot, config)),
            ]
        return _request(
            (*turns, Message("user", _asked(meta, config))), config.prefill, count, config
        )
    examples = [_asked(shot, config) + _solved(shot, config) + BETWEEN for shot in shots]
    text = description + "".join(examples) + _asked(meta, config) + config.prefill
    return _request((), text, count, config)


def kind_of_request(count: int, config: MultipleChoiceConfig) -> LabelRequest:
    """An example of what is asked with so many choices."""
    messages = (Message("user", ""),) if config.format == "chat" else ()
    return _request(messages, config.prefill, count, config)


def _request(
    messages: tuple[Message, ...], prefill: str, count: int, config: MultipleChoiceConfig
) -> LabelRequest:
    labels = tuple(f"{config.before_letter}{letter}" for letter in ascii_uppercase[:count])
    return LabelRequest(messages=messages, labels=labels, prefill=prefill)


def _asked(meta: Mapping[str, JsonValue], config: MultipleChoiceConfig) -> str:
    """Question and choices."""
    choices = cast("Sequence[str]", meta["choices"])
    listed = "\n".join(
        f"{a}. {choice}" for a, choice in zip(ascii_uppercase, choices, strict=False)
    )
    values = {**_values(meta), "prompt": str(meta["prompt"]).strip(), "choices": listed}
    return fill(config.question_template, values)


def _solved(meta: Mapping[str, JsonValue], config: MultipleChoiceConfig) -> str:
    """The right answer to an example."""
    letter = ascii_uppercase[cast("int", meta["answer"])]
    return f"{config.prefill}{config.before_letter}{letter}"


def _values(meta: Mapping[str, JsonValue], underscores: str = "_") -> dict[str, str]:
    return {name: str(value).replace("_", underscores) for name, value in meta.items()}
