"""Training when a launcher started spa itself: ``accelerate launch ... -m spa run recipe.yaml``.

The first process does all stages as usual. The others wait, and join it for every training. They
meet through the store by which the launcher's processes find each other.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist

from spa.training.fit import fit
from spa.training.job import Job, LossSource, Observe, ShouldStop
from spa.training.outcome import TrainingStopped, TrainResult
from spa.training.worker import placed, read_job

__all__ = ["fit_with_followers", "follow", "leading"]

_COUNT = "spa/jobs"
_END = "end"
_FOREVER = timedelta(days=365)


@contextmanager
def leading() -> Iterator[None]:
    """Sends the followers home at the end, however it comes."""
    try:
        yield
    finally:
        _announce(_END)


def fit_with_followers(
    job: Job, loss: LossSource, on_progress: Observe, should_stop: ShouldStop
) -> TrainResult:
    """Trains as `fit` does, together with the followers.

    Args:
        job: The training; its folder must be seen by all processes.
        loss: Where the followers find ``job.loss``.
        on_progress: Called after every micro-batch.
        should_stop: Asked before every step.
    """
    description = job.output_dir / "job.json"
    description.write_text(json.dumps(job.facts(loss)), encoding="utf-8")
    _announce(str(description))
    try:
        return fit(placed(job), on_progress, should_stop)
    finally:
        description.unlink(missing_ok=True)


def follow() -> None:
    """Joins every training that the first process announces, until it ends."""
    # Ctrl-C reaches every process; the first one decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    store = _store()
    number = 0
    while True:
        number += 1
        store.wait([f"spa/job/{number}"], _FOREVER)
        said = store.get(f"spa/job/{number}").decode()
        if said == _END:
            return
        job = placed(read_job(Path(said)))
        try:
            fit(job, lambda _progress: None, lambda: False)
        except TrainingStopped:
            continue


def _announce(what: str) -> None:
    store = _store()
    store.set(f"spa/job/{store.add(_COUNT, 1)}", what)


def _store() -> Any:
    """The launcher's store; every process gets the same one."""
    store, _, _ = next(dist.rendezvous("env://"))  # type: ignore[attr-defined]  # public, unlisted
    return store
