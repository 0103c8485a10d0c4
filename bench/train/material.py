"""Makes the prompts, responses and pairs of a case from the texts that ship with spa.

Responses are whole words, tokenised once. The ids of text cut between two tokens would not come
back when a trainer tokenises that text itself, as TRL does.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from typing import Any

from spa.models.chat import render
from spa.training.groups import TrainingGroup
from spa.types import Message, Objective, PreferencePair, Prompt, Response, Score, Scored
from train.cases import Case

__all__ = ["OBJECTIVES", "TokenPair", "make_groups", "pairs_digest"]

OBJECTIVES = (Objective("quality", "stands in for a judge"),)

TokenPair = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Token ids of a prompt, of the chosen and of the rejected response."""


def make_groups(case: Case, tokenizer: Any, seed: int = 0) -> list[TrainingGroup]:
    """The prompts of a case with responses, as text and as ids, and pairs."""
    generator = random.Random(f"{case.name}/{seed}")
    words = _words()
    groups = []
    for number in range(case.prompts):
        name = f"p{number:03}"

        def prompt(text: str, name: str = name) -> Prompt:
            return Prompt(name, (Message("user", text),))

        text = _text(
            words,
            generator,
            case.prompt_tokens,
            lambda text: len(render(tokenizer, prompt(text).messages)),
        )
        responses = [
            _response(f"{name}/{place}", case, words, generator, tokenizer)
            for place in range(case.responses)
        ]
        scored = tuple(
            Scored(response, {"quality": Score(float(case.responses - place))})
            for place, response in enumerate(responses)
        )
        pairs = tuple(_pair(name, scored[a], scored[b]) for a, b in case.places)
        groups.append(TrainingGroup(prompt(text), scored, pairs))
    return groups


def pairs_digest(pairs: Iterable[TokenPair]) -> str:
    """Hash of the token ids of some pairs, whatever their order."""
    rows = sorted(
        [list(prompt), list(chosen), list(rejected)] for prompt, chosen, rejected in pairs
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _response(
    name: str, case: Case, words: Sequence[str], generator: random.Random, tokenizer: Any
) -> Response:
    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*found, tokenizer.eos_token_id]

    wanted = generator.randint(case.shortest, case.longest)
    text = _text(words, generator, wanted, lambda text: len(ids(text)))
    return Response(text=text, token_ids=tuple(ids(text)), id=name)


def _text(
    words: Sequence[str], generator: random.Random, tokens: int, count: Callable[[str], int]
) -> str:
    """Words from a random place on, as many as ``tokens`` hold."""
    start = generator.randrange(len(words))
    taken = [words[(start + place) % len(words)] for place in range(tokens)]
    while (excess := count(" ".join(taken)) - tokens) > 0:
        del taken[-max(1, excess // 2) :]
    if not taken:
        raise ValueError(f"{tokens} tokens are too few for a word of text")
    return " ".join(taken)


def _words() -> list[str]:
    folder = files("spa") / "data" / "prompts"
    names = ("high_stakes.jsonl", "learning_check.jsonl")
    lines = "".join((folder / name).read_text(encoding="utf-8") for name in names).splitlines()
    return [word for line in lines for word in json.loads(line)["prompt"].split()]


def _pair(prompt: str, chosen: Scored, rejected: Scored) -> PreferencePair:
    better, worse = chosen.vector(OBJECTIVES), rejected.vector(OBJECTIVES)
    difference = better[0] - worse[0]
    return PreferencePair(
        prompt, chosen.id, rejected.id, better, worse, margin=difference, gap=difference
    )
