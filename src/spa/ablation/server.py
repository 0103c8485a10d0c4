"""The process that starts runs, seen from the ablation: a command line in, what it prints out.

See ``spa.cli.cell_server`` for the other end, and docs/design/0014 for the reason.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["CellServer"]

_MODULE = "spa.cli.cell_server"


class CellServer:
    """Runs command lines of ``spa`` one after the other, each in a process of its own.

    Attributes:
        code: Exit code of the last one; negative for the signal that killed it, None if that
            is not known, as the process that starts them ended.
        ended: The exit code of that process, if so.
    """

    def __init__(self) -> None:
        """Begins to load libraries; nothing waits for it."""
        self.code: int | None = None
        self.ended: int | None = None
        self._process = self._start()
        self._running: int | None = None
        self._asked = 0

    def __enter__(self) -> CellServer:
        """Nothing more to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the process, and a run that is still there."""
        self._kill()
        self._process.terminate()
        self._close()

    def run(self, arguments: Sequence[str], log: Path) -> Iterator[Mapping[str, Any]]:
        """Runs a command line, and yields the records that it prints.

        Args:
            arguments: What stands after ``spa``.
            log: Takes everything else that it says, at its end.
        """
        self.code, self._asked, self.ended = None, 0, None
        if self._process.poll() is not None:
            self._close()
            self._process = self._start()
        request = json.dumps({"arguments": list(arguments), "log": str(log)})
        process = self._process
        if process.stdin is None or process.stdout is None:  # pragma: no cover - both are pipes
            raise TypeError("the process has no pipes")
        try:
            process.stdin.write(request.encode() + b"\n")
            process.stdin.flush()
        except OSError:
            self.ended = process.wait()
            return
        for line in process.stdout:
            record = _record(line)
            if record is None:
                with log.open("ab") as file:
                    file.write(line)
            elif record["kind"] == "cell_pid":
                self._running = record["number"]
                if self._asked:  # before there was anyone to be told
                    self._signal(signal.SIGINT)
            elif record["kind"] == "cell_exit":
                self._running, self.code = None, record["number"]
                return
            else:
                yield record
        self.ended = process.wait()
        self._kill()  # nobody would hear of it any more

    def stop(self) -> None:
        """Asks the run to stop: the first time cleanly, then at once; then it is killed."""
        self._asked += 1
        hard = self._asked > 2 and os.name == "posix"
        self._signal(signal.SIGKILL if hard else signal.SIGINT)

    def _kill(self) -> None:
        self._signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        self._running = None

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):  # it is gone
                    stream.close()
        self._process.wait()

    def _signal(self, number: int) -> None:
        if self._running is None:
            return
        with suppress(ProcessLookupError, PermissionError, OSError):
            if number == signal.SIGINT or os.name != "posix":
                os.kill(self._running, number)
            else:
                os.killpg(self._running, number)

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE],  # files where spa is called are no modules
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the ablation alone
        )


def _record(line: bytes) -> Mapping[str, Any] | None:
    """A line as a record; None if it is anything else that a library printed."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("kind"), str) else None
