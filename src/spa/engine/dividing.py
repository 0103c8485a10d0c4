"""Divides prompts into training and held-out ones.

The source is read twice: once to count, to find repeated ids and to choose what is held out, of
which only hashes are kept, and once to give the prompts on. So memory does not grow with the text.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from spa.errors import RunError
from spa.types import Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SplitError", "divide", "refuse_split"]

_HASH_BYTES = 8
_HELDOUT = "prompts.split.heldout"
_encode = msgspec.json.Encoder().encode


class SplitError(RunError):
    """Prompts that cannot be split: none, repeated ids, or none left to train on.

    Attributes:
        key: The recipe's key to report it at.
    """

    def __init__(self, message: str, key: str = "prompts") -> None:
        """Keeps what is wrong and where."""
        super().__init__(message)
        self.key = key


def divide(
    prompts: Callable[[], Iterable[Prompt]], heldout: int | None, seed: int
) -> Iterator[Prompt]:
    """Marks ``heldout`` prompts as held out; None keeps what the source says.

    The choice depends on ids, wording and seed, not on the order of the file. Prompts of the same
    wording fall on the same side, so that nothing that is trained on is measured on.

    Args:
        prompts: Gives the prompts, each time the same ones in the same order.
        heldout: How many to hold out.
        seed: Of the choice.

    Raises:
        SplitError: If there are no prompts, ids repeat, or none is left to train on.
    """
    overview = _Overview(prompts(), seed)
    refuse_split(heldout, overview.count)
    _refuse_repeated_ids(overview, prompts)
    if heldout is None:
        if not overview.for_training:
            raise SplitError("the source marks every prompt as held out: none is left to train on.")
        yield from prompts()
        return
    kept_out = _kept_out(overview, heldout, prompts)
    for prompt, out in zip(prompts(), kept_out, strict=True):
        yield replace(prompt, split="heldout" if out else "train")


def refuse_split(heldout: int | None, count: int) -> None:
    """Looks whether a prompt is left to train on.

    Args:
        heldout: How many are to be held out; None where the source says which.
        count: How many there are.

    Raises:
        SplitError: If none is.
    """
    if not count:
        raise SplitError("the source of prompts is empty: there is nothing to run.")
    if heldout is not None and heldout >= count:
        raise SplitError(
            f"{heldout} prompts are to be held out, but there are only {count}, so none is left to "
            "train on. Lower it or give more prompts.",
            _HELDOUT,
        )


class _Overview:
    """What is remembered of every prompt: 24 bytes.

    Attributes:
        count: How many there are.
        for_training: How many the source means for training.
        ids: A hash of each id.
        wordings: A hash of each conversation.
        ranks: Where each would stand in the order in which prompts are held out.
    """

    def __init__(self, prompts: Iterable[Prompt], seed: int) -> None:
        self.count = self.for_training = 0
        ids, wordings, ranks = array("Q"), array("Q"), array("Q")
        for prompt in prompts:
            self.count += 1
            self.for_training += prompt.split == "train"
            ids.append(_hash(prompt.id.encode()))
            wordings.append(_hash(_encode(prompt.messages)))
            ranks.append(_hash(f"{seed}|{prompt.id}".encode()))
        self.ids, self.wordings, self.ranks = (
            np.asarray(each, dtype=np.uint64) for each in (ids, wordings, ranks)
        )


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:_HASH_BYTES], "big")


def _refuse_repeated_ids(overview: _Overview, prompts: Callable[[], Iterable[Prompt]]) -> None:
    hashes, counts = np.unique(overview.ids, return_counts=True)
    suspects = set(hashes[counts > 1].tolist())
    seen: set[str] = set()
    for prompt in prompts() if suspects else ():
        if _hash(prompt.id.encode()) in suspects:
            if prompt.id in seen:
                raise SplitError(
                    f"two prompts have the id {prompt.id!r}. Give every prompt an id of its own."
                )
            seen.add(prompt.id)


def _kept_out(
    overview: _Overview, heldout: int, prompts: Callable[[], Iterable[Prompt]]
) -> NDArray[np.bool_]:
    """Whether each prompt is held out; prompts of the same wording stay together.

    Raises:
        SplitError: If repeated prompts leave no way to hold out exactly so many.
    """
    _, first, group, sizes = np.unique(
        overview.wordings, return_index=True, return_inverse=True, return_counts=True
    )
    left, chosen = heldout, []
    for each in np.argsort(overview.ranks[first]).tolist():
        if sizes[each] <= left:
            chosen.append(each)
            left -= int(sizes[each])
        if not left:
            break
    if left:
        largest = int(np.argmax(sizes))
        of_it = (p.id for p, number in zip(prompts(), group, strict=True) if number == largest)
        raise SplitError(
            f"{heldout} prompts are to be held out, but those of the same wording stay on one "
            f"side, and so many repeat ({', '.join(islice(of_it, 3))}, ...) that only "
            f"{heldout - left} can be. Remove the repetitions.",
            _HELDOUT,
        )
    found: NDArray[np.bool_] = np.isin(group, chosen)
    return found
