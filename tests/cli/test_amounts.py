"""Durations, ages and sizes as people read them."""

from __future__ import annotations

import pytest

from spa.cli.amounts import age_text, clock, size_text


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
