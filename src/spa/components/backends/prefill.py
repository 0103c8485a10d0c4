"""Runs prompts through the model, what they share at their beginning only once.

Every row is ``[padding | beginning | padding | rest]``: beginnings end at one slot and rests at
another, so that rows with different beginnings go through together. Masks and positions are given,
so padding shifts nothing.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from spa.components.backends.slots import SlotCache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Chunk", "PromptIds", "Runner", "chunks"]

CHUNK_TOKENS = 4096  # run at once: no faster above it, and activations take little memory
_WASTE = 1.5  # slots of a chunk's rows, for one of its longest prompt


@dataclass(frozen=True, slots=True)
class PromptIds:
    """A prompt's token ids, and how many of the first others have, too.

    Attributes:
        ids: Token ids.
        lengths: Of its shared beginnings, rising, each below the number of ids. A longer one is run
            from the one before it.
    """

    ids: tuple[int, ...]
    lengths: tuple[int, ...] = ()

    @property
    def shared(self) -> int:
        """Length of the longest shared beginning."""
        return self.lengths[-1] if self.lengths else 0

    @property
    def beginning(self) -> tuple[int, ...]:
        """The part that is run once for all that have it."""
        return self.ids[: self.shared]

    @property
    def rest(self) -> tuple[int, ...]:
        """The part that is run for this prompt; at least one token."""
        return self.ids[self.shared :]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Prompts that go through together; those of one beginning are neighbours.

    Attributes:
        prompts: What goes through.
        places: For each its place among the prompts that were given.
    """

    prompts: tuple[PromptIds, ...]
    places: tuple[int, ...]

    @property
    def shared_width(self) -> int:
        """Slots for the beginnings."""
        return max(prompt.shared for prompt in self.prompts)

    @property
    def rest_width(self) -> int:
        """Slots for the rests."""
        return max(len(prompt.rest) for prompt in self.prompts)

    @property
    def width(self) -> int:
        """Slots of a row."""
        return self.shared_width + self.rest_width


def chunks(prompts: Sequence[PromptIds]) -> Iterator[Chunk]:
    """Divides prompts into chunks of little padding."""
    order = sorted(
        range(len(prompts)),
        key=lambda i: (prompts[i].beginning, len(prompts[i].rest)),
        reverse=True,
    )
    taken: list[int] = []
    for place in order:
        if taken and not _fit([prompts[i] for i in (*taken, place)]):
            yield Chunk(tuple(prompts[i] for i in taken), tuple(taken))
            taken = []
        taken.append(place)
    if taken:
        yield Chunk(tuple(prompts[i] for i in taken), tuple(taken))


def _fit(prompts: Sequence[PromptIds]) -> bool:
    rest = max(len(prompt.rest) for prompt in prompts)
    width = rest + max(prompt.shared for prompt in prompts)
    longest = max(len(prompt.ids) for prompt in prompts)
    return len(prompts) * rest <= CHUNK_TOKENS and width <= _WASTE * longest


class Runner:
    """Calls the model on slots."""

    def __init__(self, model: PreTrainedModel, held_tokens: int = 1 << 14) -> None:
        """Takes the model, and how many tokens of beginnings to hold at most."""
        self.model = model
        self.device = model.device
        self.dtype = model.dtype
        self._held = held_tokens
        self._beginnings: OrderedDict[tuple[int, ...], SlotCache] = OrderedDict()
        plain: Any = getattr(model, "get_base_model", lambda: model)()
        known = inspect.signature(plain.forward).parameters
        self._last_only: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in known else {}

    def __call__(
        self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, cache: SlotCache
    ) -> torch.Tensor:
        """The logits (B, V) after the last of T tokens of B rows.

        Args:
            ids: (B, T).
            positions: (B, T).
            mask: (B, 1, T, S) what is added to the attention scores of the slots in use and of
                the T that follow.
            cache: Gets the keys and values of the T tokens.
        """
        cache.rows = len(ids)
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **self._last_only,
        )
        cache.advance(ids.shape[1])
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def closed(self, allowed: torch.Tensor) -> torch.Tensor:
        """What to add to attention scores: 0 where something may be seen, else the lowest."""
        lowest = torch.finfo(self.dtype).min
        none = torch.zeros((), dtype=self.dtype, device=allowed.device)
        return torch.where(allowed, none, lowest)

    def prefill(self, chunk: Chunk) -> tuple[torch.Tensor, torch.Tensor, SlotCache]:
        """Runs a chunk.

        Returns:
            Logits (B, V) after each prompt, whether each slot (B, S) holds a token of it, and the
            keys and values.
        """
        shared, width = chunk.shared_width, chunk.width
        cache = SlotCache(len(chunk.prompts), width)
        cache.end = shared
        row = 0
        for beginning, members in groupby(chunk.prompts, key=lambda prompt: prompt.beginning):
            alike = list(members)
            if beginning:
                held_once = self._beginning(beginning, alike[0].lengths[:-1])
                cache.take(held_once, [0] * len(alike), row, row + len(alike), at=shared)
            row += len(alike)
        ids = torch.zeros((row, width - shared), dtype=torch.long)
        held = torch.zeros((row, width), dtype=torch.bool)
        for i, prompt in enumerate(chunk.prompts):
            ids[i, ids.shape[1] - len(prompt.rest) :] = torch.tensor(prompt.rest)
            held[i, shared - prompt.shared : shared] = True
            held[i, width - len(prompt.rest) :] = True
        positions = (held.long().cumsum(-1) - 1).clamp_min(0)[:, shared:]
        place = torch.arange(width)
        causal = place[None, :] <= place[shared:, None]
        itself = place[None, :] == place[shared:, None]  # so that padding sees something, too
        mask = self.closed((held[:, None, None, :] & causal | itself).to(self.device))
        logits = self(ids.to(self.device), positions.to(self.device), mask, cache)
        return logits, held.to(self.device), cache

    def _beginning(self, ids: tuple[int, ...], lengths: tuple[int, ...]) -> SlotCache:
        """Keys and values of a beginning, run from the longest beginning of its own."""
        found = self._beginnings.get(ids)
        if found is None:
            _, _, found = self.prefill(Chunk((PromptIds(ids, lengths),), (0,)))
            self._beginnings[ids] = found
            while len(self._beginnings) > 1 and self._held < sum(map(len, self._beginnings)):
                self._beginnings.popitem(last=False)
        self._beginnings.move_to_end(ids)
        return found
