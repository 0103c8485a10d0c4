"""Answers chat requests with a transformers model: which rows run side by side, and what is out.

Rows run in slots (`spa.components.backends.decoding`) where that gives the model's own results,
else through transformers' `generate`. Either way a row is handed on as soon as it has ended.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from spa.api import ChatRequest, RequestFailure
from spa.components.backends.beginnings import shared_beginnings
from spa.components.backends.decoding import Decoder, Ended, PromptRows
from spa.components.backends.memory import free_memory, is_out_of_memory
from spa.components.backends.plain_chat import generate_plainly
from spa.components.backends.prefill import PromptIds, Runner

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["ChatRow", "Ended", "Room", "generate_in_batches", "generate_in_slots"]

logger = logging.getLogger(__name__)

TOP_UP = 8  # rows join when this part of the most rows is free: a forward pass is worth it then


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A chat request with its place in the call and its rendered prompt.

    Attributes:
        place: In the call.
        request: What is asked.
        prompt_ids: The rendered prompt; at least one token.
        reasoning: Whether the prompt ends within the model's reasoning.
    """

    place: int
    request: ChatRequest
    prompt_ids: tuple[int, ...]
    reasoning: bool = False

    @property
    def tokens(self) -> int:
        """Most tokens of prompt and answer."""
        return len(self.prompt_ids) + self.request.max_tokens


@dataclass(slots=True)
class Room:
    """How much runs side by side; less once memory did not suffice.

    Attributes:
        rows: Most rows.
        tokens: Most tokens of the cache: rows times prompt and answer of the longest.
    """

    rows: int
    tokens: int

    def count(self, rows: Sequence[ChatRow], waiting: Sequence[ChatRow]) -> int:
        """How many of those that wait may join the rows under way; one may join none at all."""
        prompt = max((len(row.prompt_ids) for row in rows), default=0)
        answer = max((row.request.max_tokens for row in rows), default=0)
        joined = 0
        for row in waiting:
            prompt = max(prompt, len(row.prompt_ids))
            answer = max(answer, row.request.max_tokens)
            together = len(rows) + joined + 1
            if together > 1 and (
                together > self.rows or together * (prompt + answer) > self.tokens
            ):
                break
            joined += 1
        return joined

    def halve(self, rows: Sequence[ChatRow]) -> None:
        """Takes half of what did not fit from now on."""
        prompt = max(len(row.prompt_ids) for row in rows)
        answer = max(row.request.max_tokens for row in rows)
        half = max(1, len(rows) // 2)
        self.tokens = half * (prompt + answer)
        logger.warning(
            "out of memory with %d rows of up to %d tokens: going on with %d. To start with less, "
            "lower batch_tokens to %d",
            len(rows),
            prompt + answer,
            half,
            self.tokens,
        )


def generate_in_slots(
    model: PreTrainedModel, rows: Sequence[ChatRow], room: Room, stop_ids: frozenset[int]
) -> Iterator[Ended | tuple[ChatRow, RequestFailure]]:
    """Decodes rows in slots and yields each as it ends.

    The longest come first, so that memory that does not suffice shows at once.
    """
    prompts = sorted({row.prompt_ids for row in rows})
    shared = dict(zip(prompts, shared_beginnings(prompts), strict=True))
    runner = Runner(model, room.tokens // 4)
    waiting = deque(_ordered(rows))
    decoder = Decoder(runner, stop_ids)
    while waiting or decoder.rows:
        under_way = decoder.rows
        joining = _joining(room, under_way, waiting)
        try:
            ended = decoder.join(_grouped(joining, shared)) if joining else decoder.step()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            ended = None
        if ended is not None:
            yield from ended
            continue
        # What is under way starts anew: with its own seed, so it comes out as it would have.
        lost = [*under_way, *joining]
        runner = Runner(model, room.tokens // 4)
        decoder = Decoder(runner, stop_ids)
        free_memory()
        if len(lost) == 1:
            yield lost[0], _too_large(lost[0])
        else:
            room.halve(lost)
            waiting = deque(_ordered([*lost, *waiting]))


def generate_in_batches(
    model: PreTrainedModel, rows: Sequence[ChatRow], room: Room, stop_ids: frozenset[int]
) -> Iterator[Ended | tuple[ChatRow, RequestFailure]]:
    """Runs rows of one prompt length through `generate`, batch by batch."""
    waiting = deque(_ordered(rows))
    while waiting:
        length = len(waiting[0].prompt_ids)
        alike = [row for row in waiting if len(row.prompt_ids) == length]
        batch = alike[: room.count((), alike)]
        taken = {row.place for row in batch}
        try:
            found = generate_plainly(model, batch, stop_ids)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            found = None
        if found is None and len(batch) > 1:
            free_memory()
            room.halve(batch)
            continue
        waiting = deque(row for row in waiting if row.place not in taken)
        if found is None:
            free_memory()
            yield batch[0], _too_large(batch[0])
        else:
            yield from (Ended(row, ids) for row, ids in zip(batch, found, strict=True))


def _ordered(rows: Sequence[ChatRow]) -> list[ChatRow]:
    """Long answers first, then long prompts; those of one prompt are neighbours."""
    return sorted(
        rows, key=lambda r: (r.request.max_tokens, len(r.prompt_ids), r.prompt_ids), reverse=True
    )


def _joining(room: Room, rows: Sequence[ChatRow], waiting: deque[ChatRow]) -> list[ChatRow]:
    """The rows that join now; not every single one as soon as it could."""
    if not waiting or (rows and len(rows) > room.rows - max(1, room.rows // TOP_UP)):
        return []
    count = room.count(rows, waiting)
    if rows and count < min(len(waiting), max(1, len(rows) // TOP_UP)):
        return []
    return [waiting.popleft() for _ in range(count)]


def _grouped(
    rows: Sequence[ChatRow], shared: dict[tuple[int, ...], tuple[int, ...]]
) -> list[PromptRows]:
    return [
        PromptRows(PromptIds(ids, shared[ids]), tuple(group))
        for ids, group in groupby(rows, key=lambda row: row.prompt_ids)
    ]


def _too_large(row: ChatRow) -> RequestFailure:
    return RequestFailure(
        "out_of_memory",
        f"memory does not suffice for one row of {len(row.prompt_ids):,} tokens and "
        f"{row.request.max_tokens:,} to be generated, with nothing beside it. Lower max_tokens, "
        "shorten the prompt, or take a smaller model or a shorter dtype.",
    )
