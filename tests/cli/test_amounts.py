"""Durations, ages and sizes as people read them."""

from __future__ import annotations

import pytest

from spa.cli.amounts import age_text, apart, clock, distance_text, size_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.04, "0.0s"), (9.94, "9.9s"), (61, "1:01"), (3723, "1:02:03")],
)
def test_clock(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text


def test_sizes_and_ages() -> None:
    sizes = [size_text(each) for each in (0, 999, 1000, 1_234_567)]
    assert sizes == ["0 B", "999 B", "1.0 kB", "1.2 MB"]
    ages = [age_text(each) for each in (5, 60, 7300, 86_400 * 3)]
    assert ages == ["now", "1 minute", "2 hours", "3 days"]


def test_numbers_that_differ_look_different() -> None:
    assert apart(7.0, 4.0) == ("7.00", "4.00")
    assert apart(1.3642, 1.3584) == ("1.364", "1.358")
    assert apart(1.36, 1.3599999) == ("1.3600000", "1.3599999")
    assert apart(1.0, 1.0) == ("1.00", "1.00")
    assert [distance_text(each) for each in (0.0, 0.00042, 2.5)] == ["0.00", "0.0004", "2.50"]
