"""One pass through the examples of a run: the values that charts are made of, and the examples.

A run of any size is read in one pass and little memory: values of charts lie in typed arrays, and
of the examples no more are held than the page will have.
"""

from __future__ import annotations

import heapq
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from spa.errors import SpaError
from spa.types import Scored
from spa.viewing.examples import BASE, Example, Reader
from spa.viewing.judging import changes, flips, has_fallen

__all__ = ["Reading", "is_dropped", "is_regression", "is_unscored", "read_run"]


def _floats() -> array[float]:
    return array("d")


@dataclass(slots=True)
class Reading:
    """What one pass found.

    Attributes:
        reader: What was read.
        total: Examples of the run.
        examples: Those that go into the page, in the order of the prompts.
        scores: Model and objective to the scores of answers to held-out prompts.
        margins: Objective that decided to the margins of its pairs.
        gaps: The gaps of all pairs.
        masses: Label masses of all scores, where the judge tells them.
        entropies: Likewise, in nats.
        same: Objective to how many two samples of one prompt have the same score, and of how many.
        problem: What kept the pass from its end; empty if nothing did.
    """

    reader: Reader
    total: int = 0
    examples: list[Example] = field(default_factory=list)
    scores: dict[tuple[str, str], array[float]] = field(
        default_factory=lambda: defaultdict(_floats)
    )
    margins: dict[str, array[float]] = field(default_factory=lambda: defaultdict(_floats))
    gaps: array[float] = field(default_factory=_floats)
    masses: array[float] = field(default_factory=_floats)
    entropies: array[float] = field(default_factory=_floats)
    same: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    problem: str = ""


def read_run(reader: Reader, most: int | None) -> Reading:
    """Reads a run.

    Args:
        reader: Of the round to read.
        most: Examples to keep at most. Regressions and flips come first, then what was lost or has
            no score, then the others; within each the same ones are drawn every time. None: the
            examples are not read at all.

    Returns:
        What was found; up to its `problem` if a stage is not in the store any more.
    """
    found = Reading(reader)
    if most is None:
        return found
    kept = _Draw(most)
    try:
        for example in reader.examples():
            _count(found, example)
            kept.add(_rank(example, reader), example)
    except SpaError as error:
        found.problem = str(error)
    found.examples = kept.examples()
    return found


def is_dropped(example: Example) -> bool:
    """Whether a training prompt gave no pair: its group was lost, or kept and left unpaired."""
    return example.unpaired or (example.verdict is not None and not example.verdict.keep)


def is_unscored(example: Example) -> bool:
    """Whether a judged response has no score."""
    scores = (score for each in example.all_responses for score in each.scores.values())
    return any(score.value is None for score in scores)


def is_regression(example: Example, reader: Reader) -> bool:
    """Whether training lowered the score, as ``spa show --regressions`` has it."""
    change = changes(example, reader.objectives)
    return has_fallen([change.get(each.name) for each in reader.objectives])


class _Draw:
    """Keeps the examples of the lowest rank, and of one rank those of the lowest checksum."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[int, int, int, Example]] = []  # the worst on top
        self._seen = 0

    def add(self, rank: int, example: Example) -> None:
        self._seen += 1
        drawn = zlib.crc32(example.prompt.id.encode("utf-8", "surrogatepass"))
        entry = (-rank, -drawn, -self._seen, example)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif self._heap:
            heapq.heappushpop(self._heap, entry)

    def examples(self) -> list[Example]:
        ordered = sorted(self._heap, key=lambda entry: -entry[2])
        return [example for *_, example in ordered]


def _rank(example: Example, reader: Reader) -> int:
    if is_regression(example, reader) or flips(example):
        return 0
    return 1 if is_dropped(example) or is_unscored(example) or example.failures else 2


def _count(found: Reading, example: Example) -> None:
    found.total += 1
    for name, group in example.responses.items():
        for scored in group:
            for objective, score in scored.scores.items():
                found.masses.extend(_told(score.details, "label_mass"))
                found.entropies.extend(_told(score.details, "entropy"))
                if score.value is not None and name in (BASE, example.trained):
                    found.scores[name, objective].append(score.value)
    _count_same(found, example.responses.get("sample", ()))
    for pair in example.pairs:
        found.margins[pair.decided_by or "a rule of the pair builder"].append(pair.pair.margin)
        found.gaps.append(pair.pair.gap)


def _count_same(found: Reading, samples: tuple[Scored, ...]) -> None:
    for first, second in combinations(samples, 2):
        for name in first.scores.keys() & second.scores.keys():
            values = first.scores[name].value, second.scores[name].value
            if None not in values:
                found.same[name].update(pairs=1, same=int(values[0] == values[1]))


def _told(details: object, key: str) -> Iterator[float]:
    """The values under a key, however deep: judges with several readings or members nest them."""
    if isinstance(details, Mapping):
        for name, value in details.items():
            if name == key and isinstance(value, int | float):
                yield float(value)
            else:
                yield from _told(value, key)
