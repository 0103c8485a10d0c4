"""Brings the rows of several stages together, prompt by prompt, without holding any of them.

Every stage commits its rows in the order of its jobs, and that is the order of the prompts. So rows
of later stages can be read beside the prompts, each file once and from front to back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Generic, TypeVar

__all__ = ["Beside"]

R = TypeVar("R")


class Beside(Generic[R]):
    """Rows that are read beside the prompts they belong to; a prompt may have none."""

    def __init__(self, rows: Iterable[R], prompt_of: Callable[[R], str]) -> None:
        """Begins before the first row.

        Args:
            rows: Those of one prompt together, and prompts in their order.
            prompt_of: The id of a row's prompt.
        """
        self._groups: Iterator[tuple[str, Iterable[R]]] = groupby(rows, prompt_of)
        self._name: str | None = None
        self._rows: list[R] = []
        self._advance()

    def of(self, prompt_id: str) -> Sequence[R]:
        """The rows of a prompt; ask for prompts in their order, for each at most once."""
        if self._name != prompt_id:
            return ()
        rows = self._rows
        self._advance()
        return rows

    def end(self) -> None:
        """Makes sure that every row found its prompt.

        Raises:
            AssertionError: If some rows are left, as they are not in the order of the prompts.
        """
        if self._name is not None:
            raise AssertionError(f"rows of prompt {self._name!r} come out of order")

    def _advance(self) -> None:
        name, rows = next(self._groups, (None, ()))
        self._name, self._rows = name, list(rows)
