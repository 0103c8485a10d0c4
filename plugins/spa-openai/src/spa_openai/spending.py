"""Counts requests, tokens and what they cost."""

from __future__ import annotations

from collections.abc import Mapping

from spa.api import SpaError
from spa_openai.config import Price
from spa_openai.wire import Usage

__all__ = ["CostLimitError", "Spending"]

_MILLION = 1_000_000


class CostLimitError(SpaError):
    """The cost limit is reached; what is under way may still end."""


class Spending:
    """What a backend used since it was made."""

    def __init__(self, price: Price | None = None, max_cost: float | None = None) -> None:
        """Begins at 0."""
        self._price = price
        self._max_cost = max_cost
        self.requests = 0
        self.retries = 0
        self.busy = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0

    @property
    def cost(self) -> float:
        """In the currency of the price; 0 without one."""
        if self._price is None:
            return 0.0
        tokens = (self.prompt_tokens, self.completion_tokens)
        prices = (self._price.input, self._price.output)
        return sum(n * price for n, price in zip(tokens, prices, strict=True)) / _MILLION

    @property
    def exhausted(self) -> bool:
        """Whether nothing more may be sent."""
        return self._max_cost is not None and self.cost >= self._max_cost

    def add(self, usage: Usage | None) -> None:
        """Counts an answer.

        Raises:
            SpaError: If the server does not count tokens and so no cost limit can be kept.
        """
        if usage is not None:
            self.prompt_tokens += usage.prompt_tokens
            self.completion_tokens += usage.completion_tokens
        elif self._max_cost is not None:
            raise SpaError(
                "the server does not tell how many tokens an answer took (no 'usage'), so max_cost "
                "cannot be kept. Take max_cost out, or use a server that counts."
            )

    def check(self) -> None:
        """Looks whether more may be sent.

        Raises:
            CostLimitError: If the limit is reached.
        """
        if self.exhausted:
            raise CostLimitError(
                f"the cost so far, {self.cost:.4g}, has reached max_cost ({self._max_cost:g}). "
                "Nothing more is sent, and what was answered is kept. To go on, raise max_cost and "
                "run again: the cost is counted anew from each start."
            )

    def figures(self) -> Mapping[str, float]:
        """All counts, under stable names."""
        counts: dict[str, float] = {
            "requests": self.requests,
            "retries": self.retries,
            "busy": self.busy,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }
        return counts if self._price is None else {**counts, "cost": self.cost}
