"""Ctrl-C: the first press stops the run cleanly, the second at once.

Between stages and while a model answers, the interrupt is an exception, which is safe because a
row counts only once its line is whole. Training asks instead, and stops after a micro-batch with a
checkpoint.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Interrupt", "signals_to"]


@contextmanager
def signals_to(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Inside, SIGINT and SIGTERM come to ``handle``, where this is the main thread."""
    before: dict[int, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                before[number] = signal.signal(number, handle)
            except ValueError:  # not in the main thread: whoever runs us handles signals
                break
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Interrupt:
    """Turns SIGINT and SIGTERM into a request to stop."""

    def __init__(self) -> None:
        """Nothing is asked yet, and no signal is handled before ``with``."""
        self.requested = False
        self._polite = False
        self._signals = ExitStack()

    def __enter__(self) -> Interrupt:
        """Takes the signals over."""
        self._signals.enter_context(signals_to(self._handle))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives the signals back."""
        self._signals.close()

    @contextmanager
    def polite(self) -> Iterator[None]:
        """Inside, the first signal is only noted, and the code asks `asked`."""
        self._polite = True
        try:
            yield
        finally:
            self._polite = False

    def asked(self) -> bool:
        """Whether the user asked to stop."""
        return self.requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        again = self.requested
        self.requested = True
        if again or not self._polite:
            raise KeyboardInterrupt
