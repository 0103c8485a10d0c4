"""The process of one engine: starts it, talks to it, notices its end, and ends it.

It leads a process group of its own, so that all that vLLM starts can be ended with it, and Ctrl-C
in a terminal reaches spa alone. Two threads serve it: one reads what it sends, one waits for its
end; both put what they learn into the inbox that all engines share.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from spa_vllm.channel import Channel, Told

__all__ = ["COMMAND", "EngineProcess", "Inbox", "how_it_ended"]

Inbox = queue.SimpleQueue["tuple[EngineProcess, Told]"]

# -P: a folder named vllm where spa is called must not be taken for the package.
COMMAND = (sys.executable, "-P", "-m", "spa_vllm.worker")
_PATIENCE = 20.0  # seconds that vLLM may take to end by itself
_GONE_WITHIN = 3.0  # where nobody collects processes whose parent has ended, they stay listed
_QUIET = {
    "VLLM_NO_USAGE_STATS": "1",  # nobody is told that spa runs
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}


class EngineProcess:
    """A worker under way. What it sends comes into the inbox, last ``{"is": "ended", ...}``."""

    def __init__(
        self,
        arguments: Mapping[str, Any],
        log: Path,
        inbox: Inbox,
        *,
        gpus: str | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """Starts the process.

        Args:
            arguments: Engine arguments of vLLM.
            log: Gets what it prints.
            inbox: Gets what it sends.
            gpus: The GPUs that it may see; None: all.
            command: The worker; the descriptor of its end of the channel is added.
        """
        self.log = log
        self._ending = False
        ours, theirs = socket.socketpair()
        environment = {**_QUIET, **os.environ}
        if gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpus
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self._channel = Channel(ours)
        self._reader = threading.Thread(target=self._read, args=(inbox,), daemon=True)
        self._reader.start()
        self._waiter = threading.Thread(target=self._wait, args=(inbox,), daemon=True)
        self._waiter.start()
        self.send({"do": "start", "engine": dict(arguments)})

    @property
    def pid(self) -> int:
        """The id of the process, and of its group."""
        return self._process.pid

    def send(self, *messages: Told) -> None:
        """Tells it what to do; nothing happens if it has ended, which the inbox says."""
        with suppress(OSError):
            self._channel.send_all(messages)

    def ask_to_end(self) -> None:
        """Tells it to end; `end` waits for that."""
        self._ending = True
        self.send({"do": "end"})

    def end(self, patience: float = _PATIENCE) -> None:
        """Ends it and all that it started; returns when its memory is free."""
        self.ask_to_end()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        finally:
            self._kill_group()
            self._process.wait()
            self._wait_for_group()
            self._waiter.join()
            self._channel.close()

    def kill(self) -> None:
        """Ends it at once, for one that is still starting."""
        self._kill_group()
        self.end()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _wait_for_group(self) -> None:
        """Waits until what was killed is gone, at most a few seconds."""
        deadline = time.monotonic() + _GONE_WITHIN
        with suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < deadline:
                os.killpg(self.pid, 0)
                time.sleep(0.05)

    def _read(self, inbox: Inbox) -> None:
        for message in self._channel.messages():
            inbox.put((self, message))

    def _wait(self, inbox: Inbox) -> None:
        code = self._process.wait()
        # What it started holds memory, and our channel open.
        self._kill_group()
        self._reader.join(5)
        if not self._ending:
            inbox.put((self, {"is": "ended", "code": code}))


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"
