"""How long work is shown, whatever its steps are: log lines with a sign of life, or a live table.

The stages of a run (`spa.cli.ladder`) and the runs of an ablation (`spa.cli.cell_ladder`) are both.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from spa.cli.console import err

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["SILENCE", "LiveTable", "LogLines", "Timed"]

SILENCE = 60.0
"""Seconds after which a log line comes though nothing has happened."""


@dataclass(slots=True, kw_only=True)
class Timed:
    """A step that waits, runs and ends.

    Attributes:
        state: ``"waiting"``, ``"running"``, or how it ended.
        started: When it began to run, by the monotonic clock.
        seconds: How long it took, once it has ended.
    """

    state: str = "waiting"
    started: float = 0.0
    seconds: float | None = None

    def elapsed(self) -> float | None:
        """Seconds that it took, or has taken so far."""
        if self.seconds is not None:
            return self.seconds
        return time.monotonic() - self.started if self.state == "running" else None

    def stop(self, state: str) -> None:
        """Ends it, if it is under way, in a state."""
        if self.state == "running":
            self.seconds, self.state = self.elapsed(), state


class LogLines(ABC):
    """Writes log lines, one at least every `SILENCE` seconds."""

    def __init__(self) -> None:
        """Nothing is written before the context is entered."""
        self.logged = time.monotonic()
        self._ended = threading.Event()

    @abstractmethod
    def under_way(self) -> str | None:
        """The line that says what is under way; None before the first step."""

    @abstractmethod
    def stop(self) -> None:
        """Notes that what is under way goes on no further."""

    def __enter__(self) -> Self:
        """Begins showing."""
        threading.Thread(target=self._break_silence, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops showing."""
        self._ended.set()
        self.stop()

    def log(self, line: str) -> None:
        """Writes a line with the time of day."""
        self.logged = time.monotonic()
        err().print(f"{time.strftime('%H:%M:%S')}  {line}", soft_wrap=True)

    def _break_silence(self) -> None:
        """Says what is under way where no event comes, as of a batch that ends all at once."""
        while not self._ended.wait(max(0.1, self.logged + SILENCE - time.monotonic())):
            if time.monotonic() - self.logged >= SILENCE:
                self.log(self.under_way() or "loading")


class LiveTable(LogLines):
    """Shows a table instead, drawn anew several times a second. To be inherited from first."""

    @abstractmethod
    def table(self) -> Table:
        """All steps as they stand."""

    def __enter__(self) -> Self:
        """Begins drawing."""
        from rich.live import Live

        self._live = Live(get_renderable=self.table, console=err(), refresh_per_second=4)
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Draws the last state and leaves it on the screen."""
        super().__exit__(kind, error, trace)
        self._live.__exit__(kind, error, trace)
