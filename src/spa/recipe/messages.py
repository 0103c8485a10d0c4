"""Turns what pydantic found into sentences for people who never heard of pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spa.recipe.scalars import NUMBER
from spa.recipe.tree import describe

__all__ = ["EXPECTED", "SCALARS", "joined", "mismatch", "sentence"]

EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dataclass_type": "a mapping (key: value)",
    "decimal_type": "a number",
    "dict_type": "a mapping (key: value)",
    "float_parsing": "a number",
    "float_type": "a number",
    "frozen_set_type": "a list",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "mapping_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "none_required": "null",
    "path_type": "a path",
    "set_type": "a list",
    "string_type": "text",
    "tuple_type": "a list",
}
"""What a value of the wrong type should have been, by pydantic's error type."""

SCALARS = ("bool_type", "float_type", "int_from_float", "int_type", "string_type")
"""Types of errors that only strict validation finds, at a single value."""

_SENTENCES = {
    "enum": "expected {expected}, got {got}",
    "finite_number": "must be a finite number, got {got}",
    "greater_than": "must be greater than {gt}, got {got}",
    "greater_than_equal": "must be at least {ge}, got {got}",
    "less_than": "must be less than {lt}, got {got}",
    "less_than_equal": "must be at most {le}, got {got}",
    "literal_error": "expected {expected}, got {got}",
    "missing": "this key is missing",
    "multiple_of": "must be a multiple of {multiple_of}, got {got}",
    "string_pattern_mismatch": "must match the pattern {pattern}, got {got}",
    "string_too_long": "takes at most {max_length} characters, got {got}",
    "string_too_short": "needs at least {min_length} characters, got {got}",
    "too_long": "takes at most {max_length}, got {actual_length}",
    "too_short": "needs at least {min_length}, got {actual_length}",
}
"""What is said of a value that has the right type, by pydantic's error type."""

_NUMBERS = ("a number", "a whole number")


def joined(options: list[str]) -> str:
    """Joins alternatives: ``a, b or c``, each once."""
    unique = list(dict.fromkeys(options))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}"


def mismatch(expected: list[str], value: Any) -> str:  # noqa: ANN401 - any value of a recipe
    """The sentence for a value of the wrong type."""
    text = f"expected {joined(expected)}, got {describe(value)}"
    if not isinstance(value, str):
        if isinstance(value, bool | int | float) and expected == ["text"]:
            return f"{text}. Put it in quotes"
        return text
    if any(kind in _NUMBERS for kind in expected) and NUMBER.match(value):
        return f"{text}, which is text. Leave the quotes out"
    if "true or false" in expected and value.lower() in ("yes", "no", "on", "off", "true", "false"):
        return f"{text}, which is text in YAML 1.2"
    return text


def sentence(error: Mapping[str, Any]) -> str:
    """The sentence for one error of pydantic's list."""
    kind: str = error["type"]
    value: Any = error["input"]
    context: Mapping[str, Any] = error.get("ctx", {})
    if kind in EXPECTED:
        return mismatch([EXPECTED[kind]], value)
    if kind == "string_too_short" and context["min_length"] == 1:
        return "must not be empty"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", "")).strip() or "not a valid value"
    if kind in _SENTENCES:
        filled = {key: _number(part) for key, part in context.items()}
        return _SENTENCES[kind].format(got=describe(value), **filled)
    return _plainly(str(error["msg"]), value)


def _number(value: Any) -> str:  # noqa: ANN401 - any limit of a config
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plainly(message: str, value: Any) -> str:  # noqa: ANN401 - any value of a recipe
    text = message.removeprefix("Input should be ")
    text = f"must be {text}" if text != message else message[:1].lower() + message[1:]
    return f"{text}, got {describe(value)}"
