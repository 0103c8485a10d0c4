"""Decodes many rows side by side: rows join when there is room, and leave when they have ended.

A prompt is computed once for all rows that are sampled from it. All rows write into the same slot
of the cache, so rows that join are placed with their last token where the others' is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spa.components.backends.prefill import Chunk, PromptIds, Runner, chunks
from spa.components.backends.sampling import RowSampler
from spa.components.backends.slots import SlotCache

if TYPE_CHECKING:
    from spa.components.backends.hf_chat import ChatRow

__all__ = ["Decoder", "Ended", "PromptRows"]

MIN_GROWTH = 64  # slots


@dataclass(frozen=True, slots=True)
class PromptRows:
    """A prompt and the rows that are sampled from it."""

    prompt: PromptIds
    rows: tuple[ChatRow, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """A row with all that was generated for it, the end token included if there was one."""

    row: ChatRow
    token_ids: tuple[int, ...]


@dataclass(slots=True)
class _Live:
    """A row under way.

    Attributes:
        row: What is asked.
        width: Slots that its prompt takes, padding included.
        generated: Its tokens so far; the last one is not in the cache yet.
    """

    row: ChatRow
    width: int
    generated: list[int]

    @property
    def extent(self) -> int:
        """Slots in use."""
        return self.width + len(self.generated) - 1

    @property
    def left(self) -> int:
        """Tokens that may still come."""
        return self.row.request.max_tokens - len(self.generated)


class Decoder:
    """The rows under way with their keys and values."""

    def __init__(self, runner: Runner, stop_ids: frozenset[int]) -> None:
        """Starts with no row.

        Args:
            runner: Runs the model.
            stop_ids: Tokens that end a row.
        """
        self._runner = runner
        self._stops = stop_ids
        self._live: list[_Live] = []
        self._sampler = RowSampler([], [], [])
        self._cache = SlotCache(0, 0)
        self._mask = torch.zeros((0, 0), dtype=runner.dtype, device=runner.device)

    @property
    def rows(self) -> list[ChatRow]:
        """The rows under way."""
        return [live.row for live in self._live]

    @torch.inference_mode()
    def join(self, prompts: Sequence[PromptRows]) -> list[Ended]:
        """Takes rows in and samples the first token of each; returns those that end with it."""
        planned = list(chunks([each.prompt for each in prompts]))
        added = sum(len(each.rows) for each in prompts)
        longest = max(row.request.max_tokens for each in prompts for row in each.rows)
        self._make_room(added, max(chunk.width for chunk in planned), longest)
        for chunk in planned:
            self._join(chunk, [prompts[place].rows for place in chunk.places])
        return self._leave()

    @torch.inference_mode()
    def step(self) -> list[Ended]:
        """Samples the next token of every row; returns the rows that ended."""
        cache, device = self._cache, self._runner.device
        if cache.end == cache.capacity:
            self._make_room(0, 0, 0)
        rows = len(self._live)
        ids = torch.tensor([[live.generated[-1]] for live in self._live], device=device)
        places = [[len(n.row.prompt_ids) + len(n.generated) - 1] for n in self._live]
        self._mask[:rows, cache.end] = 0.0
        mask = self._mask[:rows, None, None, cache.start : cache.end + 1]
        logits_BV = self._runner(ids, torch.tensor(places, device=device), mask, cache)
        tokens = self._sampler.pick(logits_BV.float()).tolist()
        for live, token in zip(self._live, tokens, strict=True):
            live.generated.append(token)
        return self._leave()

    def _join(self, chunk: Chunk, rows: Sequence[Sequence[ChatRow]]) -> None:
        """Runs a chunk of prompts, each with the rows that are sampled from it."""
        logits_BV, held, prefilled = self._runner.prefill(chunk)
        sources = [place for place, group in enumerate(rows) for _ in group]
        new = [row for group in rows for row in group]
        sampler = RowSampler(
            [row.request.temperature for row in new],
            [row.request.top_p for row in new],
            [row.request.seed or 0 for row in new],
        )
        tokens = sampler.pick(logits_BV[sources].float()).tolist()
        first, last = len(self._live), len(self._live) + len(new)
        end = self._cache.end
        self._cache.take(prefilled, sources, first, last, at=end)
        self._mask[first:last] = torch.finfo(self._mask.dtype).min
        self._mask[first:last, end - chunk.width : end] = self._runner.closed(held[sources])
        self._live += [
            _Live(row, chunk.width, [token]) for row, token in zip(new, tokens, strict=True)
        ]
        self._sampler.join(sampler)
        self._cache.start = min(self._cache.start, end - chunk.width)

    def _leave(self) -> list[Ended]:
        """Takes out the rows that ended; the last rows move into their places."""
        done = [i for i, live in enumerate(self._live) if self._has_ended(live)]
        if not done:
            return []
        ended = [Ended(self._live[i].row, tuple(self._live[i].generated)) for i in done]
        staying = sorted(set(range(len(self._live))) - set(done))
        targets = [i for i in done if i < len(staying)]
        sources = [i for i in staying if i >= len(staying)]
        self._cache.move(sources, targets)
        self._mask[targets] = self._mask[sources]
        order = list(range(len(staying)))
        for source, target in zip(sources, targets, strict=True):
            order[target] = source
        self._live = [self._live[i] for i in order]
        self._sampler.keep(order)
        self._cache.rows = len(order)
        used = max((live.extent for live in self._live), default=0)
        self._cache.start = self._cache.end - used
        return ended

    def _has_ended(self, live: _Live) -> bool:
        return live.left <= 0 or live.generated[-1] in self._stops

    def _make_room(self, added: int, width: int, longest: int) -> None:
        """Sees to it that rows can join and the next token can be written.

        Args:
            added: How many rows will join.
            width: Slots of their prompts.
            longest: Most tokens that one of them may get.
        """
        cache = self._cache
        rows = len(self._live) + added
        used = cache.end - cache.start
        fits = rows <= cache.capacity_rows and cache.end < cache.capacity
        if fits and cache.end >= width:
            return
        end = max(used, width)
        left = max([longest, *(live.left for live in self._live)])
        capacity = end + max(1, min(left, max(end, MIN_GROWTH)))
        mask = self._mask.new_full((rows, capacity), torch.finfo(self._mask.dtype).min)
        mask[: len(self._live), end - used : end] = self._mask[
            : len(self._live), cache.start : cache.end
        ]
        cache.rows = len(self._live)
        cache.resize(rows, capacity, end)
        self._mask = mask
