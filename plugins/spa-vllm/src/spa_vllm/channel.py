"""The way between the backend and an engine's process: one JSON object a line, over a socket.

Nothing that is read is ever run, as a pickle would be. Infinite log-probabilities are written as
Python's ``json`` writes them.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

__all__ = ["Channel", "Told"]

Told = Mapping[str, Any]
"""One message: ``do`` says what is asked of the engine, ``is`` what it answers."""


class Channel:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        """Takes the socket over."""
        self._socket = end
        self._lock = threading.Lock()

    def send(self, *messages: Told) -> None:
        """Sends messages, whole and in order, from any thread.

        Raises:
            OSError: If the other side is gone.
        """
        self.send_all(messages)

    def send_all(self, messages: Sequence[Told]) -> None:
        """Like `send`, for messages in a list."""
        lines = "".join(json.dumps(message, separators=(",", ":")) + "\n" for message in messages)
        with self._lock:
            self._socket.sendall(lines.encode())

    def messages(self) -> Iterator[Told]:
        """What the other side sends, until it is gone."""
        try:
            with self._socket.makefile("rb") as lines:
                for line in lines:
                    if not line.endswith(b"\n"):  # it went away while it wrote
                        return
                    yield json.loads(line)
        except (OSError, ValueError):
            return

    def close(self) -> None:
        """Ends it for both sides."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
