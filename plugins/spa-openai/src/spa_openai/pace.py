"""Keeps to limits of requests and tokens in a minute, as hosted services set them."""

from __future__ import annotations

import json

from aiolimiter import AsyncLimiter

__all__ = ["Pace", "estimated_tokens"]

_BYTES_PER_TOKEN = 4  # of English text; others have fewer, so their prompts are underestimated
_SECONDS = 6.0  # what may be sent at once: a tenth of a minute's worth


def estimated_tokens(body: bytes) -> float:
    """The tokens that a service counts for a request: those of the prompt and ``max_tokens``."""
    asked = json.loads(body)
    return len(body) / _BYTES_PER_TOKEN + sum(
        asked.get(key) or 0 for key in ("max_tokens", "max_completion_tokens")
    )


class Pace:
    """Lets requests through no faster than the limits say; each try counts."""

    def __init__(
        self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        """Makes a leaky bucket for each limit.

        A bucket holds a tenth of a minute's worth, or one request: so no minute has more than
        the limit and that.
        """
        self._requests = None if requests_per_minute is None else _bucket(requests_per_minute)
        self._tokens = None if tokens_per_minute is None else _bucket(tokens_per_minute)

    async def admit(self, body: bytes) -> None:
        """Waits until a request with this body may be sent."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            left = estimated_tokens(body)
            while left > 0:  # in pieces, since one request may be more than the bucket holds
                piece = min(left, self._tokens.max_rate)
                await self._tokens.acquire(piece)
                left -= piece


def _bucket(per_minute: float) -> AsyncLimiter:
    size = max(1.0, per_minute * _SECONDS / 60)
    return AsyncLimiter(size, time_period=60 * size / per_minute)
