"""Lays prompts that begin alike out as one packed row, so that every shared token stands once.

Judge prompts begin alike: instructions for all, the conversation for all responses of a prompt,
the response for all objectives. In lexicographic order what two neighbours share is what either
shares with any other row beyond the other, so one pass over the sorted rows finds the trie, and
writes it down in preorder (see `spa.models.packing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from spa.components.backends.beginnings import common_length
from spa.models.packing import Segment, Tree

__all__ = ["PackedPrompts", "fitting", "pack_prompts"]


@dataclass(frozen=True, slots=True)
class PackedPrompts:
    """A packed row.

    Attributes:
        input_ids: The tokens, L with padding.
        position_ids: Places of the tokens in their prompts, from 0.
        tree: What continues what.
        ends: Place of the last token of every prompt, in the order in which they were given.
    """

    input_ids: list[int]
    position_ids: list[int]
    tree: Tree
    ends: list[int]


def fitting(prompts: Sequence[Sequence[int]], tokens: int, most: int) -> int:
    """How many of the first prompts to pack together.

    The row ends where little is shared with what follows, if that leaves it half full at least:
    what is shared over the end of a row is run again.

    Args:
        prompts: In lexicographic order, at least one.
        tokens: Most tokens of the packed row; a single prompt may be longer.
        most: Most prompts.
    """
    sizes = [len(prompts[0])]
    shared = [0]
    for before, prompt in pairwise(prompts):
        common = common_length(before, prompt)
        size = sizes[-1] + len(prompt) - common
        shared.append(common)
        if size > tokens or len(sizes) == most:
            break
        sizes.append(size)
    else:
        return len(prompts)
    full = len(sizes)
    cuts = [count for count in range(1, full + 1) if 2 * sizes[count - 1] >= sizes[-1]]
    return min(reversed(cuts), key=shared.__getitem__)


def pack_prompts(
    prompts: Sequence[Sequence[int]], multiple: int = 1, pad_id: int = 0
) -> PackedPrompts:
    """Packs prompts into one row.

    Args:
        prompts: In lexicographic order, none empty.
        multiple: The row is padded to a multiple of so many tokens.
        pad_id: What it is padded with. Nothing sees it.
    """
    ids: list[int] = []
    positions: list[int] = []
    ends: list[int] = []
    closed: list[Segment] = []
    path: list[_Open] = []
    before: Sequence[int] = ()
    for prompt in prompts:
        common = common_length(before, prompt)
        while path and path[-1].depth >= common:
            closed.append(path.pop().close(len(ids)))
        if path and path[-1].depth + path[-1].size > common:
            closed.append(path[-1].split(common).close(len(ids)))
        if common < len(prompt):
            path.append(_Open(len(ids), common, len(prompt) - common))
            ids.extend(prompt[common:])
            positions.extend(range(common, len(prompt)))
        ends.append(path[-1].start + path[-1].size - 1)
        before = prompt
    closed.extend(node.close(len(ids)) for node in path)
    closed.sort(key=lambda segment: segment.start)
    spare = -len(ids) % multiple
    return PackedPrompts(
        ids + [pad_id] * spare,
        positions + [0] * spare,
        Tree(tuple(closed), len(ids) + spare),
        ends,
    )


@dataclass(slots=True)
class _Open:
    """A segment on the way to the prompt that is being packed; ``depth`` tokens come before it."""

    start: int
    depth: int
    size: int

    def split(self, depth: int) -> _Open:
        """Cuts the segment where the next prompt leaves it, and returns what was cut off."""
        kept = depth - self.depth
        rest = _Open(self.start + kept, depth, self.size - kept)
        self.size = kept
        return rest

    def close(self, until: int) -> Segment:
        """The segment, once all that continues it is there."""
        return Segment(self.start, self.start + self.size, until)
