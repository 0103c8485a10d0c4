"""Starts a process for one side and reads what it measured.

The process that runs this must stay small: on Linux the peak memory of a child is at least that of
its parent when it was started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from train.settings import Measured, Order

__all__ = ["SideFailedError", "measure", "run_order"]

FOLDER = Path(__file__).resolve().parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class SideFailedError(Exception):
    """A side did not come to its end; its own output says why."""


def measure(order: Order) -> Measured:
    """One step of a side."""
    return Measured(**run_order(order))


def run_order(order: Order) -> dict[str, Any]:
    """What the process wrote; its output goes to standard error.

    Raises:
        SideFailedError: If it ended with an error.
    """
    threads = dict.fromkeys(THREADS, str(order.threads))
    places = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    settings = {"PYTHONPATH": places, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "order.json", Path(folder) / "result.json"
        asked.write_text(json.dumps(order.to_json()), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "train.worker", str(asked), str(answered)],
            env={**os.environ, **threads, **settings},
            stdout=sys.stderr.fileno(),
            check=False,
        )
        if done.returncode != 0:
            raise SideFailedError(
                f"side {order.side} of case {order.case.name} ended with code {done.returncode}; "
                "see its output above"
            )
        result: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
        return result
