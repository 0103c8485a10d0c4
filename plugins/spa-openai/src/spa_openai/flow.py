"""How many requests may be under way: more while answers come, fewer when a server is busy.

Additive increase, multiplicative decrease, as congestion control does (Chiu and Jain 1989, and
RFC 5681 for the fast start): until the first sign of trouble every answer adds one; then every
window of answers adds one; a sign of trouble halves.
"""

from __future__ import annotations

__all__ = ["Flow"]

_START = 32  # fewer keep a server waiting for the length of several answers
_SHRINK = 0.5


class Flow:
    """The limit on requests under way, between 1 and ``most``."""

    def __init__(self, most: int) -> None:
        """Begins with few."""
        self._most = most
        self._limit = float(min(_START, most))
        self._fast = True
        self._begun = 0
        self._under_way = 0
        self._shrunk_at = 0

    @property
    def limit(self) -> int:
        """Requests that may be under way at once."""
        return int(self._limit)

    def room(self, under_way: int) -> int:
        """How many more may be begun."""
        return max(0, self.limit - under_way)

    def begin(self) -> int:
        """Notes that a try is sent, and gives it a number."""
        self._begun += 1
        self._under_way += 1
        return self._begun

    def cancelled(self) -> None:
        """Notes that a try ended without telling anything of the server."""
        self._under_way -= 1

    def answered(self) -> None:
        """Notes an answer; the limit grows if it was nearly used up."""
        used = self._under_way
        self._under_way -= 1
        if 2 * used >= self._limit:
            step = 1.0 if self._fast else 1.0 / self._limit
            self._limit = min(float(self._most), self._limit + step)

    def overloaded(self, number: int) -> None:
        """Notes that a try was turned away or came to nothing in time.

        Tries that were sent before the last decrease tell of the load before it, so they do not
        count again.
        """
        self._under_way -= 1
        self._fast = False
        if number > self._shrunk_at:
            self._limit = max(1.0, self._limit * _SHRINK)
            self._shrunk_at = self._begun
