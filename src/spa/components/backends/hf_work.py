"""What runs a model, imported when it is first needed.

Saying which model a backend runs needs neither torch nor transformers, whose import takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spa.api import RequestFailure, Result

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spa.components.backends.hf_chat import ChatRow, Ended, Room
    from spa.components.backends.hf_labels import LabelRow

__all__ = ["generate_in_batches", "generate_in_slots", "label_batches", "longest_in_slots"]


def longest_in_slots(model: PreTrainedModel) -> int:
    """See `spa.components.backends.slot_trial`."""
    from spa.components.backends import slot_trial

    return slot_trial.longest_in_slots(model)


def generate_in_slots(
    model: PreTrainedModel, rows: Sequence[ChatRow], room: Room, stop_ids: frozenset[int]
) -> Iterator[Ended | tuple[ChatRow, RequestFailure]]:
    """See `spa.components.backends.hf_chat`."""
    from spa.components.backends import hf_chat

    return hf_chat.generate_in_slots(model, rows, room, stop_ids)


def generate_in_batches(
    model: PreTrainedModel, rows: Sequence[ChatRow], room: Room, stop_ids: frozenset[int]
) -> Iterator[Ended | tuple[ChatRow, RequestFailure]]:
    """See `spa.components.backends.hf_chat`."""
    from spa.components.backends import hf_chat

    return hf_chat.generate_in_batches(model, rows, room, stop_ids)


def label_batches(
    model: PreTrainedModel, pad_id: int, rows: Sequence[LabelRow], size: int
) -> Iterator[tuple[int, Result | RequestFailure]]:
    """See `spa.components.backends.hf_labels`."""
    from spa.components.backends import hf_labels

    return hf_labels.label_batches(model, pad_id, rows, size)
