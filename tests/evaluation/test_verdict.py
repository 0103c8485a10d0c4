"""Which figures come to which verdict."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from spa.evaluation.discrimination import Answer
from spa.evaluation.verdict import FEWEST_PROMPTS, MEANING, figures_of


def answers(
    right: int, wrong: int = 0, ties: int = 0, unscored: int = 0, alone: bool = False
) -> list[Answer]:
    """Pairs, so many of each outcome; ``alone`` gives every answer a prompt of its own."""
    scores: list[tuple[float | None, float | None]] = [
        *[(6.0, 4.0)] * right,
        *[(4.0, 6.0)] * wrong,
        *[(5.0, 5.0)] * ties,
        *[(None, None)] * unscored,
    ]
    return [
        Answer(f"p{at}{label if alone else ''}", "a", label, 10 + at, pair[1 - label], 0.9)
        for at, pair in enumerate(scores)
        for label in (0, 1)
    ]


@pytest.mark.parametrize(
    ("given", "flips", "verdict"),
    [
        (answers(20), [], "usable"),
        (answers(18, 4), [False] * 20, "usable"),
        (answers(34, 14), [], "coarse"),
        (answers(16, 0, ties=8), [], "coarse"),
        (answers(20), [True] * 9 + [False] * 11, "coarse"),
        (answers(12, 10), [], "plumbing only"),
        (answers(2, 20), [], "plumbing only"),
        (answers(0, 0, ties=20), [], "plumbing only"),
        (answers(FEWEST_PROMPTS - 1), [], "plumbing only"),
        (answers(FEWEST_PROMPTS), [], "usable"),
        (answers(12, unscored=13), [], "plumbing only"),
        (answers(0, unscored=5), [], "plumbing only"),
        (answers(20, alone=True), [], "usable"),
        (answers(11, 11, alone=True), [], "plumbing only"),
    ],
)
def test_verdict(given: list[Answer], flips: Sequence[bool], verdict: str) -> None:
    found = figures_of(None, given, flips)
    assert found.verdict == verdict
    assert verdict in MEANING


def test_figures() -> None:
    found = figures_of("a", answers(6, 2, ties=2, unscored=10), [True, False, False, False])
    assert (found.objective, found.prompts, found.responses) == ("a", 10, 40)
    assert (found.unscored, found.ties, found.flips) == (0.5, 0.2, 0.25)
    assert found.auc == pytest.approx(0.7)
    assert found.label_mass == pytest.approx(0.9)
    assert found.basis == "within prompts"


def test_lone_answers_are_compared_across_prompts() -> None:
    found = figures_of(None, answers(20, alone=True))
    assert (found.basis, found.auc, found.ties) == ("across prompts", 1.0, None)
    assert (found.auc, found.low, found.high) == (
        found.auc_across,
        found.across_low,
        found.across_high,
    )
