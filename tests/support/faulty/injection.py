"""The faults of one process: counts what it does to files, and fails where it was told to.

An operation is a file opened for writing, a write of rows or answers, an fsync, a rename, a link, a
folder made, a file removed, or a step of training. Operations are counted anew in every stage, so
a fault can be placed in a stage.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spa.engine import lines
from spa.types import RunEvent

START = "start"
"""The stage before the first one."""

LAST_WORDS = "killed-in"
"""A file beside the folder of runs: the stage in which the process was killed."""

_EVENTS = {
    "os.rename": "rename",
    "os.link": "link",
    "os.mkdir": "mkdir",
    "os.remove": "remove",
    "os.truncate": "truncate",
}
_WRITES = os.O_WRONLY | os.O_RDWR
_OF_KIND = {
    "ENOSPC": ("open", "write", "mkdir", "link"),
    "EIO": ("fsync",),
    "EROFS": ("open", "write", "mkdir", "link", "rename", "remove", "truncate"),
}


class Faults:
    """What goes wrong in this process.

    Attributes:
        counts: Operations so far, by stage and kind.
    """

    def __init__(self, runs: Path, plan: Mapping[str, Any]) -> None:
        """Takes the plan.

        Args:
            runs: Only what is done to files below this folder counts.
            plan: ``kill``: by stage, the operation at which the process is killed, or its kind
                and how many of this kind there were by then; ``error``: an
                error's name, and the ``stage`` and operation ``at`` which it begins to be raised;
                ``flush_bytes``: how many bytes are gathered before they are written; ``clock``: a
                seed for a clock that jumps.
        """
        self.runs = str(runs)
        self._last_words = runs.parent / LAST_WORDS
        self.kill: Mapping[str, Any] = plan.get("kill", {})
        self.error: Mapping[str, Any] | None = plan.get("error")
        self.counts: Counter[tuple[str, str]] = Counter()
        self.stage = START
        self._done = 0
        self._failing = False
        self._active = True
        if "flush_bytes" in plan:
            lines._FLUSH_BYTES = plan["flush_bytes"]
        if "clock" in plan:
            time.time = _jumping(random.Random(plan["clock"]))
        self._install()

    def listen(self, event: RunEvent) -> None:
        """Notes the stage; to be told of the run's events."""
        if event.kind == "stage_started":
            self.stage, self._done = event.stage, 0
        elif event.kind == "stage_progress" and "train" in event.stage:
            self.operation("step", self.runs)

    def stop(self) -> None:
        """From now on nothing fails."""
        self._active = False

    def operation(self, kind: str, path: object) -> None:
        """One more operation; may not return."""
        if not self._active or not os.fsdecode(str(path)).startswith(self.runs):
            return
        self._done += 1
        self.counts[self.stage, kind] += 1
        at = self.kill.get(self.stage)
        if at in (self._done, [kind, self.counts[self.stage, kind]]):
            self._last_words.write_text(self.stage, encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)
        if self.error is not None and kind in _OF_KIND[self.error["name"]]:
            begins = self.error.get("stage") in (None, self.stage)
            self._failing |= begins and self._done >= self.error.get("at", 0)
            if self._failing:
                number = getattr(errno, self.error["name"])
                raise OSError(number, os.strerror(number), str(path))

    def _install(self) -> None:
        fsync, open_lines = os.fsync, lines.LineFile.__init__

        def counted_fsync(file: int) -> None:
            self.operation("fsync", Path(f"/proc/self/fd/{file}").readlink())
            fsync(file)

        def counted_lines(file: lines.LineFile, path: Path) -> None:
            open_lines(file, path)
            file._file = _Torn(file._file, path, self)

        os.fsync = counted_fsync
        lines.LineFile.__init__ = counted_lines
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and isinstance(path, str | Path):
                self.operation("open", path)
        elif event in _EVENTS:
            self.operation(_EVENTS[event], arguments[0])


class _Torn:
    """A file whose writes may end half-way."""

    def __init__(self, file: Any, path: Path, faults: Faults) -> None:
        self._file, self._path, self._faults = file, path, faults

    def write(self, content: memoryview) -> int:
        half = len(content) // 2
        if half:
            # Before the fault, as it is with real ones: a full disk takes a part.
            self._file.write(content[:half])
        self._faults.operation("write", self._path)
        return half + int(self._file.write(content[half:]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _jumping(random_: random.Random) -> Any:
    """A clock that jumps by up to a year, back and forward."""
    real = time.time
    return lambda: real() + random_.choice((-1, 1)) * random_.random() * 3e7
