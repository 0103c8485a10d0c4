"""What is asked: prompts of mixed lengths, several samples of each."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from importlib.resources import files

from spa.types import Message, Prompt

__all__ = ["CASES", "Case", "make_prompts", "quick"]


@dataclass(frozen=True, slots=True)
class Case:
    """Rows to sample.

    Attributes:
        name: What the output calls it.
        prompts: How many, all different.
        samples: Of each prompt.
        max_tokens: Most tokens of a sample.
        texts: How many of the shipped texts (13 to 60 words each) make a prompt; drawn anew for
            each prompt, so that lengths are mixed.
        temperature: Of all rows.
    """

    name: str
    prompts: int = 12
    samples: int = 4
    max_tokens: int = 48
    texts: tuple[int, ...] = (1, 1, 2, 4)
    temperature: float = 1.0


CASES = {
    case.name: case
    for case in (
        Case("mixed"),
        Case("alone", prompts=24, samples=1),
        Case("many", prompts=48),
    )
}


def quick(case: Case) -> Case:
    """A few short rows, to see that everything runs."""
    return replace(case, prompts=4, samples=min(case.samples, 2), max_tokens=8)


def make_prompts(case: Case) -> list[Prompt]:
    """The prompts of a case; the same ones every time."""
    generator = random.Random(case.name)
    file = files("spa") / "data" / "prompts" / "high_stakes.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines()
    texts = [str(json.loads(line)["prompt"]) for line in lines]
    return [
        Prompt(
            f"p{number:03}",
            (Message("user", " ".join(generator.sample(texts, generator.choice(case.texts)))),),
        )
        for number in range(case.prompts)
    ]
