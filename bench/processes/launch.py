"""Starts a process for one side of a benchmark and reads what it measured.

The process that runs this must stay small: on Linux the peak memory of a child is at least that of
its parent when it was started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["SideFailedError", "run_worker"]

FOLDER = Path(__file__).resolve().parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class SideFailedError(Exception):
    """A side did not come to its end; its own output says why."""


def run_worker(module: str, order: Mapping[str, Any], side: str, threads: int) -> dict[str, Any]:
    """What ``python -m module ORDER.json RESULT.json`` wrote; its output goes to standard error.

    Args:
        module: What to run.
        order: What it is asked to do, as JSON values.
        side: What errors call it.
        threads: Of numerical libraries.

    Raises:
        SideFailedError: If it ended with an error.
    """
    limits = dict.fromkeys(THREADS, str(threads))
    places = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    settings = {"PYTHONPATH": places, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "order.json", Path(folder) / "result.json"
        asked.write_text(json.dumps(order), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", module, str(asked), str(answered)],
            env={**os.environ, **limits, **settings},
            stdout=sys.stderr.fileno(),
            check=False,
        )
        if done.returncode != 0:
            raise SideFailedError(f"{side} ended with code {done.returncode}; see its output above")
        result: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    return result
