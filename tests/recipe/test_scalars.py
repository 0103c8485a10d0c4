from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.recipe.scalars import core_value, tagged_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("2.0e-4", 2e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-3", -3),
        ("+3", 3),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("Null", None),
    ],
)
def test_core_schema(text: str, value: object) -> None:
    found = core_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "on", "off", "Yes", "1_000", "1:30", "2026-01-01", "0b1", "nan", "e5", ".", "-"],
)
def test_text_of_other_yaml_versions_stays_text(text: str) -> None:
    assert core_value(text) == text


def test_not_a_number() -> None:
    value = core_value(".nan")
    assert isinstance(value, float)
    assert math.isnan(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_reads_as_itself(number: float) -> None:
    assert core_value(repr(number)) == number


@given(st.text(max_size=12))
def test_never_fails(text: str) -> None:
    core_value(text)


def test_very_long_digits_do_not_fail() -> None:
    assert core_value("9" * 10_000) == math.inf


@pytest.mark.parametrize(
    ("text", "tag", "value"),
    [
        ("5", "tag:yaml.org,2002:str", "5"),
        ("5", "!", "5"),
        ("5", "tag:yaml.org,2002:float", 5.0),
        ("5", "tag:yaml.org,2002:int", 5),
        ("true", "tag:yaml.org,2002:bool", True),
        ("", "tag:yaml.org,2002:null", None),
    ],
)
def test_own_tags(text: str, tag: str, value: object) -> None:
    found = tagged_value(text, tag)
    assert found == value
    assert type(found) is type(value)


def test_tag_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"^'x' does not fit its tag '!!int'$"):
        tagged_value("x", "tag:yaml.org,2002:int")


@pytest.mark.parametrize("tag", ["!!python/object", "tag:yaml.org,2002:binary", "!path"])
def test_foreign_tag(tag: str) -> None:
    with pytest.raises(ValueError, match=r"is not allowed: recipes hold plain values only\."):
        tagged_value("x", tag)
