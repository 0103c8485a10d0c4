"""One of several processes: what it does when things around it are not as they should be."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from spa.errors import RunError
from spa.models.spec import ModelSpec
from spa.training import fit, worker
from spa.training.job import Job
from spa.training.outcome import TrainProgress
from spa.training.roles import STARTER


def job(folder: Path, device: str = "auto") -> Job:
    given: Any = SimpleNamespace()
    return Job((), ModelSpec("m", device=device), given, given, folder, folder, 0, given, {})


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _place: None)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert worker.placed(job(tmp_path)).model.device == "cuda:1"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(RunError) as error:
        worker.placed(job(tmp_path))
    assert str(error.value) == (
        "each process trains on a GPU of its own, but there are 2 for 3 processes. Set "
        "train.processes (or num_processes in accelerate's file) to 2, or model.device: cpu."
    )
    assert worker.placed(job(tmp_path, "cpu")).model.device == "cpu"


def test_a_job_that_cannot_be_carried_out_here_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_job: Job) -> Job:
        raise RunError("too few")

    monkeypatch.setattr(worker, "read_job", lambda _file: job(tmp_path))
    monkeypatch.setattr(worker, "placed", refuse)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as ended:
        worker.main([str(tmp_path / "job.json")])
    assert ended.value.code == 1
    assert worker.error_file(tmp_path).read_text() == "too few"


def test_whoever_listened_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Then the pipe is broken, too; training goes on to the next step, where it stops."""
    asked = []

    def training(_job: Job, on_progress: Any, should_stop: Any) -> str:
        on_progress(TrainProgress("train", 1, 2, 0, 1))
        asked.append(should_stop())
        return "result"

    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(fit, "fit", training)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv(STARTER, str(os.getpid()))
    # Unbuffered, so that nothing is left to be written when it is closed.
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        monkeypatch.setattr(
            "builtins.print", lambda text, flush: pipe.write(text.encode()) if flush else None
        )
        assert worker.carry_out(job(tmp_path), speak=True) == "result"
    assert asked == [False]
