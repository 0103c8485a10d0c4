"""Keys and values of a batch in buffers made ahead: rows by slots, read as views.

transformers' own cache copies all keys and values at every token. Here a token's are written into
the next slot, a row that ended is replaced by another one in its place, and the buffers are
replaced by larger ones only when they are full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

__all__ = ["SlotCache"]


class SlotCache(Cache):
    """A cache of R rows and S slots, of which the slots ``start`` to ``end`` are in use.

    All rows write into the same slot, so a row's tokens end where every other row's do; the slots
    before its first token must be masked. Unused slots hold finite numbers.

    Attributes:
        rows: Rows in use, the first ones.
        start: First slot in use.
        end: The slot that is written next.
    """

    def __init__(self, capacity_rows: int, capacity: int) -> None:
        """Makes nothing yet: the model says at its first call how large keys and values are."""
        super().__init__(layer_class_to_replicate=partial(_SlotLayer, self))  # type: ignore[arg-type]
        self.capacity_rows = capacity_rows
        self.capacity = capacity
        self.rows = 0
        self.start = 0
        self.end = 0

    def advance(self, tokens: int) -> None:
        """Notes that a forward pass has written so many tokens of every row."""
        self.end += tokens

    def resize(self, rows: int, capacity: int, end: int) -> None:
        """Moves what is in use into buffers of another size.

        Args:
            rows: How many rows there is room for.
            capacity: How many slots.
            end: The slot that is written next from then on; at least as many slots as are in use.
        """
        used = self.end - self.start
        for layer in self.slot_layers():
            for name in ("key_store", "value_store"):
                old: torch.Tensor = getattr(layer, name)
                new = old.new_zeros(rows, old.shape[1], capacity, old.shape[3])
                new[: self.rows, :, end - used : end] = old[: self.rows, :, self.start : self.end]
                setattr(layer, name, new)
        self.capacity_rows, self.capacity = rows, capacity
        self.start, self.end = end - used, end

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copies rows over other rows."""
        if not sources:
            return
        used = slice(self.start, self.end)
        for layer in self.slot_layers():
            for store in (layer.key_store, layer.value_store):
                store[list(targets), :, used] = store[list(sources), :, used]

    def take(
        self, other: SlotCache, sources: Sequence[int], first: int, last: int, at: int
    ) -> None:
        """Copies slots of another cache into the rows from ``first`` to ``last``.

        Args:
            other: Of the same model.
            sources: For each of these rows the row of ``other``.
            first: The first row.
            last: The row after the last.
            at: The slot that follows the last one copied; all of ``other``'s that are in use are.
        """
        index = list(sources)
        whole = index == list(range(other.rows))
        begin = at - (other.end - other.start)
        used = slice(other.start, other.end)
        self._make_like(other)
        for layer, from_layer in zip(self.slot_layers(), other.slot_layers(), strict=True):
            for store, from_store in (
                (layer.key_store, from_layer.key_store),
                (layer.value_store, from_layer.value_store),
            ):
                held = from_store[: other.rows, :, used]
                store[first:last, :, begin:at] = held if whole else held[index]

    def slot_layers(self) -> Iterator[_SlotLayer]:
        """The layers, as far as the model has made any."""
        for layer in self.layers:
            assert isinstance(layer, _SlotLayer)
            yield layer

    def _make_like(self, other: SlotCache) -> None:
        """Makes the buffers that ``other`` has and this one lacks."""
        for from_layer in list(other.slot_layers())[len(self.layers) :]:
            layer = _SlotLayer(self)
            layer.lazy_initialization(from_layer.key_store, from_layer.value_store)
            self.layers.append(layer)


class _SlotLayer(DynamicLayer):
    """The keys and values of one layer, (R, heads, S, D) each."""

    key_store: torch.Tensor
    value_store: torch.Tensor

    def __init__(self, cache: SlotCache) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cache = cache

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.key_store, self.value_store = (
            like.new_zeros(
                self.cache.capacity_rows, like.shape[1], self.cache.capacity, like.shape[3]
            )
            for like in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *args: Any,  # noqa: ANN401, ARG002  # transformers' signature
        **kwargs: Any,  # noqa: ANN401, ARG002
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, start, end = self.cache.rows, self.cache.start, self.cache.end
        after = end + key_states.shape[-2]
        self.key_store[:rows, :, end:after] = key_states
        self.value_store[:rows, :, end:after] = value_states
        self.keys = self.key_store[:rows, :, start:after]
        self.values = self.value_store[:rows, :, start:after]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.cache.end - self.cache.start
