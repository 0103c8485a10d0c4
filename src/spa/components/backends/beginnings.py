"""Finds beginnings that many prompts share: the template's header, system prompts, instructions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["MIN_SAVED", "common_length", "shared_beginnings"]

MIN_SAVED = 64  # tokens that a further beginning must save to be worth a forward pass of its own


def shared_beginnings(prompts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The beginnings of each prompt that it shares with others, from the shortest to the longest.

    From the whole set to ever smaller parts that begin alike: a part gets a longer beginning than
    the set that it comes from where that saves at least `MIN_SAVED` tokens. It goes on from that
    set's, so instructions, a conversation and a response are each run once.

    Args:
        prompts: Token ids, at least one each.

    Returns:
        For each prompt rising lengths below its own; none where nothing is worth sharing. Prompts
        with the same first ids up to such a length may have longer ones.
    """
    found: list[tuple[int, ...]] = [()] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda place: tuple(prompts[place]))
    waiting = [(0, len(order), 0)]
    while waiting:
        first, last, given = waiting.pop()
        if last - first < 2:
            continue
        length = common_length(prompts[order[first]], prompts[order[last - 1]])
        shortest = min(len(prompts[place]) for place in order[first:last])
        usable = min(length, shortest - 1)
        if (last - first - 1) * (usable - given) >= MIN_SAVED:
            for place in order[first:last]:
                found[place] = (*found[place], usable)
            given = usable
        waiting += [(a, b, given) for a, b in _branches(prompts, order, first, last, length)]
    return found


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many of the first ids of both are the same."""
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def _branches(
    prompts: Sequence[Sequence[int]], order: Sequence[int], first: int, last: int, length: int
) -> list[tuple[int, int]]:
    """The parts of a sorted stretch that go on alike after a common beginning."""
    heads = [tuple(prompts[place][length : length + 1]) for place in order[first:last]]
    cuts = [i for i in range(1, len(heads)) if heads[i] != heads[i - 1]]
    if not cuts:  # the very same prompts
        return []
    bounds = [0, *cuts, len(heads)]
    return [(first + a, first + b) for a, b in pairwise(bounds) if b - a > 1]
