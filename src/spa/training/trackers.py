"""Sends the figures of every step to experiment trackers, through transformers' own callbacks.

Training does not depend on them: one that does not start ends it before the first step, with what
to do, but one that fails later is left out and training goes on. Only the main process reports.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.integrations import (  # type: ignore[attr-defined]  # exported lazily
    TensorBoardCallback,
    get_reporting_integration_callbacks,
)

from spa.errors import RunError

__all__ = ["TENSORBOARD_FOLDER", "reporting"]

logger = logging.getLogger(__name__)

TENSORBOARD_FOLDER = "tensorboard"


@contextmanager
def reporting(
    trainer: Trainer, names: Sequence[str], folder: Path, epochs: float, *, is_main: bool
) -> Iterator[None]:
    """Reports what a trainer logs inside the context, and ends the trackers' runs with it.

    Args:
        trainer: Its ``args.run_name`` is what runs are called.
        names: The trackers, as transformers names them.
        folder: That of the training; TensorBoard's files go to ``tensorboard`` in it.
        epochs: Passes over the data that the training makes.
        is_main: Whether this process reports.

    Raises:
        RunError: If a tracker does not start.
    """
    if not names or not is_main:
        yield
        return
    reports = _Reports({name: _tracker(name, folder) for name in names}, epochs)
    trainer.add_callback(reports)
    try:
        yield
    finally:
        reports.close()


def _tracker(name: str, folder: Path) -> Any:
    """The callback of a tracker."""
    try:
        if name == "tensorboard":
            return _TensorBoard(folder / TENSORBOARD_FOLDER)
        (callback,) = get_reporting_integration_callbacks([name])
        return callback()
    except Exception as error:  # trackers raise whatever they like
        raise RunError(_no_start(name, error)) from error


class _TensorBoard(TensorBoardCallback):
    """Writes to a folder of the training, and hides steps that are done again after a crash."""

    def __init__(self, folder: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.logging_dir = str(folder)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        from torch.utils.tensorboard import SummaryWriter

        purge = state.global_step + 1
        self.tb_writer = SummaryWriter(self.logging_dir, purge_step=purge)
        super().on_train_begin(args, state, control, **kwargs)  # type: ignore[no-untyped-call]


class _Reports(TrainerCallback):
    """Stands between the trainer and the trackers."""

    def __init__(self, trackers: dict[str, Any], epochs: float) -> None:
        self._trackers = trackers
        self._epochs = epochs
        self._failed: set[str] = set()
        # A run that somebody else began, around all of this, is not ours to end.
        self._ours = {name for name in trackers if _running(name) is None}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for name, tracker in self._trackers.items():
            try:
                tracker.on_train_begin(args, state, control, **kwargs)
            except Exception as error:  # trackers raise whatever they like
                raise RunError(_no_start(name, error)) from error

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Passes on the figures of a step, not the summary: it counts batches as samples."""
        logs: dict[str, Any] = kwargs.pop("logs")
        if "loss" in logs:
            # For transformers a training is one epoch of optimizer batches.
            passes = {"epoch": logs["epoch"] * self._epochs} if "epoch" in logs else {}
            self._tell("on_log", args, state, control, logs={**logs, **passes}, **kwargs)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._tell("on_save", args, state, control, **kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._tell("on_train_end", args, state, control, **kwargs)

    def close(self) -> None:
        """Ends the runs, however training ended: the next round begins runs of its own."""
        for name, tracker in self._trackers.items():
            try:
                _close(name, tracker, name in self._ours)
            except Exception as error:  # trackers raise whatever they like
                logger.warning("%s: its run could not be ended: %s", name, _told(error))

    def _tell(self, event: str, *args: Any, **kwargs: Any) -> None:
        for name, tracker in self._trackers.items():
            if name in self._failed:
                continue
            try:
                getattr(tracker, event)(*args, **kwargs)
            except Exception as error:  # trackers raise whatever they like
                self._failed.add(name)
                logger.warning("training goes on without %s: %s", name, _told(error))


def _running(name: str) -> Any:
    """The run that a tracker has under way, None if there is none."""
    if name not in ("wandb", "mlflow"):
        return None
    module = importlib.import_module(name)
    return module.run if name == "wandb" else module.active_run()


def _close(name: str, tracker: Any, ours: bool) -> None:
    """Ends what the callback leaves open: W&B's run always, the others' when training stopped."""
    module: Any = importlib.import_module(name)
    match name:
        case "tensorboard":
            if tracker.tb_writer is not None:
                tracker.tb_writer.close()
        case "trackio":
            if tracker._initialized:
                module.finish()
        case "wandb":
            if ours and module.run is not None:
                module.finish()
        case "mlflow":
            if ours and module.active_run() is not None:
                module.end_run()


def _no_start(name: str, error: Exception) -> str:
    return (
        f"the tracker {name} did not start: {_told(error)}\n"
        "Set it up, or run again without it (train.report_to). "
        "Finished stages and the last checkpoint are kept."
    )


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
