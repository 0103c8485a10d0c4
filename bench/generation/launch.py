"""Starts a process for one backend and reads what it measured.

A process each: an inference engine does not give its memory back before its process ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from generation.settings import Order, Timing

__all__ = ["MissingError", "SideFailedError", "measure"]

FOLDER = Path(__file__).resolve().parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class SideFailedError(Exception):
    """A backend did not come to its end; its own output says why."""


class MissingError(Exception):
    """A backend cannot be measured in this environment."""


def measure(order: Order) -> dict[str, list[Timing]]:
    """The timings of all sides of a backend, spa's first, then the bare one's.

    Raises:
        MissingError: If the backend's plugin or engine is not there.
        SideFailedError: If the process ended with an error.
    """
    threads = dict.fromkeys(THREADS, str(order.threads))
    places = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    settings = {"PYTHONPATH": places, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "order.json", Path(folder) / "result.json"
        asked.write_text(json.dumps(order.to_json()), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "generation.worker", str(asked), str(answered)],
            env={**os.environ, **threads, **settings},
            stdout=sys.stderr.fileno(),
            check=False,
        )
        if done.returncode != 0:
            raise SideFailedError(
                f"backend {order.backend} ended with code {done.returncode}; see its output above"
            )
        result: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    if "missing" in result:
        raise MissingError(result["missing"])
    return {name: [Timing(**each) for each in timings] for name, timings in result.items()}
