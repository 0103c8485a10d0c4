"""Trains in several processes: starts them, listens to the first one, and stops them.

The processes are started by PyTorch's or accelerate's launcher, in a session of their own, so that
a Ctrl-C reaches this process alone, which then asks them to stop after the step under way.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spa.errors import RunError
from spa.recipe.accelerate import accelerate_problem
from spa.training.job import Job, LossSource, Observe, ShouldStop
from spa.training.outcome import TrainingStopped, TrainProgress, TrainResult
from spa.training.roles import STARTER
from spa.training.worker import PREFIX, WORKER, error_file, stop_file

__all__ = ["fit_in_processes"]

# Seconds to end in. The launcher itself gives its processes 30, which are in sessions of their own:
# it must not be killed before it has killed them.
_GRACE = 40.0
# What the launcher, and processes that miss another one, say of an error that is not theirs.
_EFFECT = re.compile(r"ChildFailed|gloo/transport|DistBackendError|DistNetworkError")
_KILLED = re.compile(r"\bSignal 9 \((SIGKILL)\)")


def fit_in_processes(
    job: Job, loss: LossSource, on_progress: Observe, should_stop: ShouldStop
) -> TrainResult:
    """Trains as `fit` does, in the processes that ``job.settings`` asks for.

    Args:
        job: The training.
        loss: Where the processes find ``job.loss``.
        on_progress: Called after every micro-batch of the first process.
        should_stop: Asked now and then; the processes stop after the step under way.

    Raises:
        TrainingStopped: If ``should_stop`` said so.
        RunError: If training failed; the processes' own output is kept in a file that it names.
    """
    folder = job.output_dir
    for file in (stop_file(folder), error_file(folder)):
        file.unlink(missing_ok=True)
    description = folder / "job.json"
    description.write_text(json.dumps(job.facts(loss)), encoding="utf-8")
    log = folder / "processes.log"
    try:
        with _started(_command(job, description), log, job.settings.processes) as process:
            result = _listen(process, log, job, on_progress, should_stop)
            process.wait()
    finally:
        description.unlink(missing_ok=True)
        stop_file(folder).unlink(missing_ok=True)
    if result is None or process.returncode != 0:
        raise RunError(_failure(folder, log, process.returncode))
    log.unlink(missing_ok=True)
    return result


def _command(job: Job, description: Path) -> list[str]:
    """The launcher's command line."""
    settings = job.settings
    worker = ["-m", WORKER, str(description)]
    if settings.accelerate is None:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        return [sys.executable, *launcher, str(settings.processes), *worker]
    if problem := accelerate_problem(settings.accelerate):
        raise RunError(f"train.accelerate: {problem}.")
    launcher = ["-m", "accelerate.commands.launch", "--config_file", settings.accelerate]
    count = [] if settings.processes is None else ["--num_processes", str(settings.processes)]
    return [sys.executable, *launcher, *count, *worker]


@contextmanager
def _started(
    command: list[str], log: Path, processes: int | None
) -> Iterator[subprocess.Popen[str]]:
    """The launcher, ended with all that it started when the context ends early."""
    environment = {**os.environ, STARTER: str(os.getpid()), **_threads(processes)}
    environment["PYTHONSAFEPATH"] = "1"  # files where spa is called are not taken for modules
    log.unlink(missing_ok=True)
    with (
        log.open("a", encoding="utf-8") as errors,  # `_listen` adds to it, too
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env=environment,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                _end(process)


def _threads(processes: int | None) -> dict[str, str]:
    """The CPU's cores divided among the processes; launchers would give each of them one.

    Where accelerate's file says how many processes there are, accelerate divides them.
    """
    if processes is None or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))}


def _end(process: subprocess.Popen[str]) -> None:
    """Ends the launcher, which ends the processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_GRACE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def _listen(
    process: subprocess.Popen[str],
    log: Path,
    job: Job,
    on_progress: Observe,
    should_stop: ShouldStop,
) -> TrainResult | None:
    """Follows what the first process says until its output ends.

    Raises:
        TrainingStopped: If it was stopped.
    """
    result = None
    assert process.stdout is not None
    for line in process.stdout:
        if should_stop():
            stop_file(job.output_dir).touch()
        kind, _, rest = line.removeprefix(PREFIX).partition(" ")
        if not line.startswith(PREFIX):
            with log.open("a", encoding="utf-8") as file:
                file.write(line)
        elif kind == "progress":
            on_progress(TrainProgress(**json.loads(rest)))
        elif kind == "stopped":
            process.wait()
            raise TrainingStopped(**json.loads(rest))
        elif kind == "result":
            result = TrainResult.from_json(rest, job.output_dir)
    return result


def _failure(folder: Path, log: Path, code: int) -> str:
    """Why the processes failed: what they said of it, or the end of their output."""
    try:
        # Empty if the disk was full.
        if said := error_file(folder).read_text(encoding="utf-8"):
            return said
    except FileNotFoundError:
        pass
    return (
        f"the processes that train ended with code {code}: {_cause(log)}\n"
        f"All that they said is in {log}. Finished steps are kept up to the last checkpoint; "
        "run again to go on."
    )


def _cause(log: Path) -> str:
    """The line of the processes' output that says most of why they ended."""
    text = log.read_text(encoding="utf-8", errors="replace")
    if killed := _KILLED.search(text):
        # What the others say then is that this one is gone.
        return (
            f"one of them was killed by {killed[1]}, as systems do when memory runs out. "
            "A smaller train.micro_tokens with train.two_phase: true, or "
            "train.gradient_checkpointing: true, needs less of it."
        )
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error: " in line and not _EFFECT.search(line)]
    return re.sub(r"^\[rank\d+\]: ", "", (errors or lines or ["they said nothing"])[-1])
