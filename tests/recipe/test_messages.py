from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

from spa.api import ComponentConfig
from spa.recipe.messages import sentence


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Config(ComponentConfig):
    choice: Literal["a", "b"] = "a"
    colour: Colour = Colour.RED
    even: int = Field(default=2, multiple_of=2)
    small: float = Field(default=0.5, lt=1)
    least: float = Field(default=0.5, le=1)
    short: str = Field(default="ab", min_length=2, max_length=3)
    present: str = Field(default="a", min_length=1)
    lower: str = Field(default="a", pattern="^[a-z]*$")
    pair: tuple[int, ...] = Field(default=(1, 2), min_length=2, max_length=2)
    own: int = 1
    unsaid: int = 1
    odd: Annotated[complex, Field()] = 1j

    @field_validator("own")
    @classmethod
    def _own(cls, value: int) -> int:
        if value != 1:
            raise ValueError("own must be 1")
        return value

    @field_validator("unsaid")
    @classmethod
    def _unsaid(cls, value: int) -> int:
        assert value == 1
        return value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("choice", "c", "expected 'a' or 'b', got 'c'"),
        ("colour", "green", "expected 'red' or 'blue', got 'green'"),
        ("even", 3, "must be a multiple of 2, got 3"),
        ("small", 1, "must be less than 1, got 1"),
        ("least", 1.5, "must be at most 1, got 1.5"),
        ("short", "a", "needs at least 2 characters, got 'a'"),
        ("short", "abcd", "takes at most 3 characters, got 'abcd'"),
        ("present", "", "must not be empty"),
        ("lower", "A", "must match the pattern ^[a-z]*$, got 'A'"),
        ("pair", [1], "needs at least 2, got 1"),
        ("pair", [1, 2, 3], "takes at most 2, got 3"),
        ("pair", "x", "expected a list, got 'x'"),
        ("own", 2, "own must be 1"),
        ("even", "x" * 100, "expected a whole number, got '" + "x" * 57 + "...'"),
    ],
)
def test_sentences(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({key: value})
    (error,) = caught.value.errors(include_url=False)
    assert sentence(error) == message


def test_kinds_of_errors_without_a_sentence_are_still_plain() -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"odd": "x"})
    text = sentence(caught.value.errors(include_url=False)[0])
    assert text.endswith(", got 'x'")
    assert "pydantic" not in text
    assert "Input should" not in text
