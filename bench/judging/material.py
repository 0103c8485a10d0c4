"""Makes responses to judge from the texts that ship with spa: prompts, and words for answers.

The objectives are those of the method, harmlessness before helpfulness, with the constitutions that
ship with spa.
"""

from __future__ import annotations

import json
import random
from importlib.resources import files

from judging.scoring import Asked
from judging.settings import Order
from spa.types import Message, Objective, Prompt, Response

__all__ = ["make_rows", "objectives"]


def objectives() -> tuple[Objective, ...]:
    """Two, with their shipped definitions."""
    folder = files("spa") / "data" / "constitutions"
    return tuple(
        Objective(name, (folder / f"{name}.md").read_text(encoding="utf-8"))
        for name in ("harmlessness", "helpfulness")
    )


def make_rows(order: Order, seed: int = 0) -> list[Asked]:
    """All responses to all prompts; their words are those of shipped prompts."""
    generator = random.Random(seed)
    file = files("spa") / "data" / "prompts" / "high_stakes.jsonl"
    texts = [json.loads(line)["prompt"] for line in file.read_text(encoding="utf-8").splitlines()]
    if order.prompts > len(texts):
        raise ValueError(f"there are {len(texts)} prompts, not {order.prompts}")
    words = [word for text in texts for word in text.split()]
    rows = []
    for number, text in enumerate(texts[: order.prompts]):
        prompt = Prompt(f"p{number:03}", (Message("user", text),))
        for _ in range(order.responses):
            start = generator.randrange(len(words))
            count = generator.randint(order.shortest, order.longest)
            taken = [words[(start + place) % len(words)] for place in range(count)]
            rows.append(Asked(prompt, Response(" ".join(taken)), objectives()))
    return rows
