"""Times one optimizer step of a `transformers.Trainer`, whichever side made it.

Before the clock starts, a small part of the batch goes through the model and back, and through the
optimizer at learning rate 0: libraries are loaded, caches filled and the optimizer's state is
there, as in any step but the first, and the weights are as they were.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import torch
from transformers import Trainer, TrainerCallback

__all__ = ["StepClock"]


class StepClock(TrainerCallback):
    """Takes the time and the memory of the first step.

    Attributes:
        seconds: Of the step.
        update_seconds: From the end of the last backward pass to the end of the step.
        cpu_seconds: Processor time of all threads.
        before_bytes: Memory before the warm-up.
        peak_bytes: Highest memory from the start of the process, on a GPU of the step.
    """

    def __init__(self, trainer: Trainer, warm_up: Callable[[Any], None]) -> None:
        """Attaches the clock to a trainer.

        Args:
            trainer: Whose first step is timed.
            warm_up: Takes the model forward and backward on a part of the batch.
        """
        self.warm_up = warm_up
        self.seconds = self.update_seconds = self.cpu_seconds = 0.0
        self.before_bytes = self.peak_bytes = 0
        self._passed = self._started = self._cpu = 0.0
        self._cuda = trainer.args.device.type == "cuda"
        self._note_clipping(trainer.accelerator)
        trainer.add_callback(self)

    def on_train_begin(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: Any = None,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        """Warms up, then starts the clock."""
        del args, state, control
        self.before_bytes = self._memory()
        rates = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        model.train()
        self.warm_up(model)
        optimizer.step()
        model.zero_grad()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        self._started, self._cpu = self._now(), time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stops the clock."""
        del args, control
        if state.global_step == 1:
            now = self._now()
            self.seconds = now - self._started
            self.update_seconds = now - self._passed
            self.cpu_seconds = time.process_time() - self._cpu
            self.peak_bytes = self._peak()

    def _note_clipping(self, accelerator: Any) -> None:
        clip = accelerator.clip_grad_norm_

        def noted(*arguments: Any, **options: Any) -> Any:
            self._passed = self._now()
            return clip(*arguments, **options)

        accelerator.clip_grad_norm_ = noted

    def _now(self) -> float:
        if self._cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def _memory(self) -> int:
        if self._cuda:
            return int(torch.cuda.memory_allocated())
        return int(psutil.Process().memory_info().rss)

    def _peak(self) -> int:
        if self._cuda:
            return int(torch.cuda.max_memory_allocated())
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
