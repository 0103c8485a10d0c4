"""Splits an optimizer batch into forward passes, and those among processes.

Nothing here changes the result: losses are summed over all pairs of the optimizer batch and divided
once. It changes memory and speed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spa.training.encoding import EncodedGroup
from spa.training.layout import Part, whole

__all__ = ["Budget", "MicroBatch", "Turn", "plan_micro_batches", "share"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What may go through the model at once.

    Attributes:
        tokens: Most tokens of a forward pass. A group that is larger by itself goes alone.
        groups: Most groups of a forward pass; None: no limit.
        packed: Whether prompts are shared: then tokens are those of the packed row, else those of
            one padded row a response.
        split: Whether a group above ``tokens`` is split, its responses in several passes. The loss
            is then computed from log-probabilities without gradients first.
    """

    tokens: int
    groups: int | None = None
    packed: bool = True
    split: bool = False

    def cost(self, parts: Sequence[Part]) -> int:
        """Tokens that the model computes for some parts, padding included."""
        if self.packed:
            return sum(part.tokens for part in parts)
        rows = sum(len(part.places) for part in parts)
        return rows * max(_longest(part) for part in parts)


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Some groups of an optimizer batch, and the forward passes that they take.

    Attributes:
        groups: Whole groups.
        passes: What goes through the model at once. The responses of all passes, in order, are
            those of the groups.
    """

    groups: tuple[EncodedGroup, ...]
    passes: tuple[tuple[Part, ...], ...]

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return sum(len(group.chosen) for group in self.groups)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one process does while the others do the like.

    Attributes:
        work: The micro-batch.
        counts: Whether its pairs count; if not, another process has this one, and it runs here so
            that all processes make the same calls.
    """

    work: MicroBatch
    counts: bool = True


def plan_micro_batches(groups: Sequence[EncodedGroup], budget: Budget) -> list[MicroBatch]:
    """Takes groups together, longest first, while the budget allows.

    Groups of like length come together, so that there is little padding where rows are padded.
    """
    parts = sorted(whole(groups), key=lambda part: (_longest(part), part.tokens), reverse=True)
    micro_batches: list[MicroBatch] = []
    taken: list[Part] = []
    for part in parts:
        full = budget.groups is not None and len(taken) >= budget.groups
        if taken and (full or budget.cost([*taken, part]) > budget.tokens):
            micro_batches.append(_micro_batch(taken, budget))
            taken = []
        taken.append(part)
    micro_batches.append(_micro_batch(taken, budget))
    return micro_batches


def share(micro_batches: Sequence[MicroBatch], processes: int, process: int) -> list[Turn]:
    """The turns of one process, as many as every other one has.

    In every turn all processes run micro-batches with the same number of passes, and of about the
    same cost, since sharded models exchange weights in every pass. Where a turn has fewer
    micro-batches than there are processes, the rest repeat one that does not count.
    """
    alike: defaultdict[int, list[MicroBatch]] = defaultdict(list)
    for micro_batch in micro_batches:
        alike[len(micro_batch.passes)].append(micro_batch)
    turns = []
    for _, same in sorted(alike.items()):
        same.sort(key=_tokens, reverse=True)
        for start in range(0, len(same), processes):
            now = same[start : start + processes]
            counts = process < len(now)
            turns.append(Turn(now[process] if counts else now[-1], counts))
    return turns


def _micro_batch(parts: Sequence[Part], budget: Budget) -> MicroBatch:
    groups = tuple(part.group for part in parts)
    if budget.split and len(parts) == 1 and budget.cost(parts) > budget.tokens:
        return MicroBatch(groups, tuple((piece,) for piece in _pieces(parts[0], budget)))
    return MicroBatch(groups, (tuple(parts),))


def _pieces(part: Part, budget: Budget) -> Iterator[Part]:
    """The part's responses in as few pieces as the budget allows, each with the prompt."""
    places: list[int] = []
    for place in part.places:
        if places and budget.cost([Part(part.group, (*places, place))]) > budget.tokens:
            yield Part(part.group, tuple(places))
            places = []
        places.append(place)
    yield Part(part.group, tuple(places))


def _longest(part: Part) -> int:
    return len(part.group.prompt) + max(map(len, part.responses))


def _tokens(micro_batch: MicroBatch) -> int:
    return sum(part.tokens for parts in micro_batch.passes for part in parts)
