"""Starts the runs of an ablation, each in a process of its own that need not load the libraries.

Run as ``python -m spa.cli.cell_server``. It imports what every run imports, and then waits for
requests on stdin: a line ``{"arguments": [...], "log": "..."}`` is a command line of ``spa``. On
Linux the process of a run is a copy of this one (fork), elsewhere a new one. What the run prints
comes out of this process's stdout, between a line with its process id and one with its exit code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["main"]

_PRELOADED = (
    "torch",
    "transformers.trainer",
    "transformers.models.auto.modeling_auto",
    "peft",
    "scipy.stats",
    "pyarrow.parquet",
    "rich.logging",
    "spa.cli.app",
    "spa.cli.ladder",
    "spa.cli.run",
    "spa.engine.pipeline",
    "spa.training.run",
    "spa.training.fit",
)


def main() -> int:
    """Serves requests until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the ablation says when a run is to stop
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in _PRELOADED:
        # What is broken is told by the run that needs it.
        with suppress(Exception):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is loaded is never looked at again, so copies share its memory
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        start = _forked if _can_fork() else _spawned
        code = start(request["arguments"], Path(request["log"]))
        _say("cell_exit", code)
    return 0


def _say(kind: str, number: int) -> None:
    print(json.dumps({"kind": kind, "number": number}), flush=True)


def _can_fork() -> bool:
    """Whether a copy of this process can use all that this one has loaded.

    What an accelerator's driver has begun to use cannot be used by a copy, and the system libraries
    of macOS forbid it.
    """
    torch = sys.modules.get("torch")
    begun = torch is not None and torch.cuda.is_initialized()
    return sys.platform == "linux" and not begun


def _forked(arguments: Sequence[str], log: Path) -> int:
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        _become(arguments, log)
    _say("cell_pid", process)
    _, status = os.waitpid(process, 0)
    _end_group(process)
    return os.waitstatus_to_exitcode(status)


def _become(arguments: Sequence[str], log: Path) -> None:
    """Turns this copy into the run, and ends it as any process ends.

    Raises:
        SystemExit: Always.
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(errors, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text file
    from spa.cli import main as spa

    sys.exit(spa(arguments))


def _spawned(arguments: Sequence[str], log: Path) -> int:
    command = [sys.executable, "-P", "-m", "spa", *arguments]
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    _say("cell_pid", process.pid)
    code = process.wait()
    _end_group(process.pid)
    return code


def _end_group(process: int) -> None:
    """Ends what a run has left behind, so that its memory is there for the next."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
