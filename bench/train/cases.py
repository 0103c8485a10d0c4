"""What is trained on: how many prompts and responses, how long, and which pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

__all__ = ["CASES", "CHECK", "Case", "quick"]

Pairing = Literal["all", "refined"]


@dataclass(frozen=True, slots=True)
class Case:
    """One optimizer step.

    Attributes:
        name: What the output calls it.
        prompts: Prompts, all different.
        responses: Responses to each, the best one first.
        prompt_tokens: Tokens of a rendered prompt, at most; a word or two may be missing.
        shortest: Fewest tokens wanted of a response. Lengths are drawn evenly.
        longest: Most tokens of a response, the end token included.
        pairing: ``"all"`` pairs of a prompt's responses, or the first response, the ``"refined"``
            one, against each of the others.
    """

    name: str
    prompts: int
    responses: int = 6
    prompt_tokens: int = 60
    shortest: int = 60
    longest: int = 140
    pairing: Pairing = "all"

    @property
    def places(self) -> list[tuple[int, int]]:
        """Places of the chosen and the rejected response of each pair of a prompt."""
        if self.pairing == "refined":
            return [(0, place) for place in range(1, self.responses)]
        return list(combinations(range(self.responses), 2))

    @property
    def pairs(self) -> int:
        """Pairs of the step."""
        return self.prompts * len(self.places)


CASES = {
    case.name: case
    for case in (
        Case("all_pairs", prompts=8),
        Case("refined_vs_each", prompts=8, pairing="refined"),
        Case("long_prompts", prompts=2, prompt_tokens=600),
    )
}

CHECK = Case("check", prompts=2, responses=3, prompt_tokens=45, shortest=8, longest=20)
"""Small enough for a backward pass a pair."""


def quick(case: Case) -> Case:
    """The case with one prompt, four responses and short ones, to see that everything runs."""
    return replace(case, prompts=1, responses=4, shortest=15, longest=35)
