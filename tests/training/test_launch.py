"""What is said when the processes of a training fail, tried with processes that only fail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spa.errors import RunError
from spa.training import launch
from spa.training.job import LossSource
from spa.training.launch import fit_in_processes

KEPT = "Finished steps are kept up to the last checkpoint; run again to go on."


@pytest.fixture
def failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The message of a training whose launcher is a few lines of Python."""

    def start(script: str) -> str:
        command = [sys.executable, "-c", script, str(tmp_path)]
        monkeypatch.setattr(launch, "_command", lambda *_: command)
        job: Any = SimpleNamespace(
            output_dir=tmp_path, settings=SimpleNamespace(processes=2), facts=lambda _loss: {}
        )
        source = LossSource("spa-align/spa", {})
        with pytest.raises(RunError) as error:
            fit_in_processes(job, source, lambda _progress: None, lambda: False)
        return str(error.value)

    return start


def test_files_where_spa_is_called_are_not_taken_for_modules(
    failure: Callable[[str], str], tmp_path: Path
) -> None:
    failure("import os, sys; print('safe', os.environ['PYTHONSAFEPATH']); sys.exit(1)")
    assert (tmp_path / "processes.log").read_text().splitlines() == ["safe 1"]


def test_the_last_error_is_named_and_all_output_kept(
    failure: Callable[[str], str], tmp_path: Path
) -> None:
    script = """
import sys
print("a warning", file=sys.stderr, flush=True)
print("a library's line, longer than the one that follows it", flush=True)
sys.stdout.close()
import time; time.sleep(0.3)
print("[rank1]: ValueError: it does not fit", file=sys.stderr)
print("RuntimeError: [gloo/transport/tcp/pair.cc] reset by peer", file=sys.stderr)
print("torch.distributed.ChildFailedError: nothing", file=sys.stderr)
sys.exit(3)
"""
    log = tmp_path / "processes.log"
    assert failure(script) == (
        f"the processes that train ended with code 3: ValueError: it does not fit\n"
        f"All that they said is in {log}. {KEPT}"
    )
    assert log.read_text().splitlines() == [
        "a warning",
        "a library's line, longer than the one that follows it",
        "[rank1]: ValueError: it does not fit",
        "RuntimeError: [gloo/transport/tcp/pair.cc] reset by peer",
        "torch.distributed.ChildFailedError: nothing",
    ]


def test_a_process_killed_for_memory_is_the_cause(failure: Callable[[str], str]) -> None:
    """The others only say that it is gone, and the launcher's report ends with a line of dashes."""
    script = """
import sys
print("RuntimeError: connection closed by peer", file=sys.stderr)
print("  exitcode  : -9 (pid: 7)", file=sys.stderr)
print("  traceback : Signal 9 (SIGKILL) received by PID 7", file=sys.stderr)
print("=====", file=sys.stderr)
sys.exit(1)
"""
    assert failure(script).splitlines()[0] == (
        "the processes that train ended with code 1: one of them was killed by SIGKILL, as systems "
        "do when memory runs out. A smaller train.micro_tokens with train.two_phase: true, or "
        "train.gradient_checkpointing: true, needs less of it."
    )


@pytest.mark.parametrize("said", ["", "lower it"])
def test_what_a_process_wrote_down_counts_if_it_could(
    failure: Callable[[str], str], said: str
) -> None:
    """On a full disk the file is made, and stays empty."""
    script = f"""
import pathlib, sys
(pathlib.Path(sys.argv[1]) / "error.txt").write_text({said!r})
sys.exit(1)
"""
    told = failure(script)
    if said:
        assert told == said
    else:
        assert told.startswith("the processes that train ended with code 1: they said nothing\n")
