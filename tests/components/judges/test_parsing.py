"""A score is read where the text states one, and never guessed or moved onto the scale."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.components.judges.parsing import parse_score


def parse(text: str, prefill: str = "") -> float | None:
    return parse_score(text, prefill=prefill, lowest=1, highest=10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8", 8),
        (" 10.\n", 10),
        ("**7.5**", 7.5),
        ("7,5", 7.5),
        ("[[9]]", 9),
        ("8/10", 8),
        ("8 / 10.", 8),
        ("8 out of 10", 8),
        ("Score: 7", 7),
        ("Rating = 6/10 because 3 sentences are wrong", 6),
        ("The score is **4**.", 4),
        ("I would give it a 9.", 9),
        ("On a scale of 1 to 10, I rate it 3.", 3),
        ("On a scale from 1-10: 3", 3),
        ("1. The answer is fine.\n2. It is short.\nScore: 6", 6),
        ("Score: 6\nI repeat, the score is 6.", 6),
        ("Score: 6 (a score of 10 would need more)", None),
        ("between 6 and 7", None),
        ("6-7", None),
        ("Score: 6-7, for 3 reasons", None),
        ("Score: 6 to 7", None),
        ("4/5", None),
        ("Score: 4/5", None),
        ("0", None),
        ("11", None),
        ("-3", None),
        ("\u22123", None),
        ("100", None),
        ("8.5.1", None),
        ("v2", None),
        ("eight", None),
        ("", None),
        ("On a scale of 1 to 10", None),
        ("10 out of 10", 10),
    ],
)
def test_without_prefill(text: str, expected: Any) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8", 8),
        ("8\n\nThe answer makes 3 good points.", 8),
        (" 10/10, a score of 1 would be wrong", 10),
        ("**8**. 2 things", 8),
        ("12 because 3", None),
        ("4/5", None),
        ("6 or 7", None),
        ("6\u20137", None),
        ("It is good. Score: 7 of 3 things", 7),
        ("none", None),
    ],
)
def test_a_number_right_after_the_prefill_is_the_score(text: str, expected: Any) -> None:
    assert parse(text, prefill="Score: ") == expected


@given(st.text(max_size=60) | st.from_regex(r"[0-9 /.,\-a-z]{0,20}", fullmatch=True), st.booleans())
def test_never_off_the_scale_and_never_fails(text: str, prefilled: Any) -> None:
    score = parse(text, prefill="Score: " if prefilled else "")
    assert score is None or 1 <= score <= 10


@given(st.integers(-20, 30))
def test_reads_every_whole_number_and_clamps_none(number: Any) -> None:
    assert parse(f"Score: {number}") == (number if 1 <= number <= 10 else None)


def test_other_scales() -> None:
    assert parse_score("0.25", prefill="", lowest=0, highest=1) == 0.25
    assert parse_score("-2", prefill="", lowest=-5, highest=5) == -2
    assert parse_score("80/100", prefill="", lowest=0, highest=100) == 80
