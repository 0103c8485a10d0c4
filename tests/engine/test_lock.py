"""One writer a folder: alive, dead, on another machine, and two that come at once."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from spa.engine import lock
from spa.engine.lock import FILE, Holder, writer_lock
from spa.errors import RunError

HOLD = (
    "import sys, time; from pathlib import Path; from spa.engine.lock import writer_lock\n"
    "with writer_lock(Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


def hold_elsewhere(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def write(folder: Path, holder: Holder) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(asdict(holder)), encoding="utf-8")


def test_a_lock_is_there_while_it_is_held_and_gone_after(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "stage"
    with writer_lock(folder):
        assert json.loads((folder / FILE).read_text())["pid"] == os.getpid()
        with pytest.raises(RunError, match=f"is being written by process {os.getpid()} on "):
            writer_lock(folder).__enter__()
    assert list(folder.iterdir()) == []


def test_a_process_that_lives_is_named_and_one_that_was_killed_is_not_in_the_way(
    tmp_path: Path,
) -> None:
    process = hold_elsewhere(tmp_path)
    try:
        with pytest.raises(RunError) as caught:
            writer_lock(tmp_path).__enter__()
        message = str(caught.value)
        assert message.startswith(f"{tmp_path} is being written by process {process.pid} on ")
        assert message.endswith(f"If you are sure that it is gone, delete {tmp_path / FILE}.")
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert (tmp_path / FILE).is_file()
    with writer_lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_another_process_with_the_same_id_is_not_taken_for_the_holder(tmp_path: Path) -> None:
    write(tmp_path, replace(Holder.this(), born=1))
    with writer_lock(tmp_path):
        assert (tmp_path / FILE).is_file()


def test_a_holder_on_another_machine_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WATCH", 0.3)
    monkeypatch.setattr(lock, "BEAT", 0.05)
    write(tmp_path, replace(Holder.this(), host="elsewhere"))
    started = time.monotonic()
    with writer_lock(tmp_path):
        assert time.monotonic() - started >= 0.3
        # To others this one would look alive.
        assert lock._beats(tmp_path / FILE)


def test_a_clock_that_is_wrong_makes_no_holder_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signs of life are changes of a number, wherever that number stands."""
    monkeypatch.setattr(lock, "WATCH", 5.0)
    monkeypatch.setattr(lock, "BEAT", 0.05)
    with writer_lock(tmp_path):
        os.utime(tmp_path / FILE, (2**33, 2**33))
        other = replace(json_holder(tmp_path), host="elsewhere")
        write(tmp_path, other)
        with pytest.raises(RunError, match="on elsewhere"):
            writer_lock(tmp_path).__enter__()


def json_holder(folder: Path) -> Holder:
    return Holder(**json.loads((folder / FILE).read_text()))


def test_what_is_no_lock_of_ours_is_watched_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WATCH", 0.2)
    (tmp_path / FILE).write_text("half a lo")
    with writer_lock(tmp_path):
        assert json_holder(tmp_path).pid == os.getpid()


def test_a_holder_that_was_killed_is_gone_before_its_parent_takes_note(tmp_path: Path) -> None:
    process = hold_elsewhere(tmp_path)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with writer_lock(tmp_path):
        assert json_holder(tmp_path).pid == os.getpid()
    process.communicate()


def test_of_many_that_come_at_once_one_gets_it(tmp_path: Path) -> None:
    write(tmp_path, replace(Holder.this(), pid=2**22 + 1))  # above the highest id: dead
    code = HOLD.replace("    time.sleep(60)\n", "    time.sleep(3)\n")
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    ends = [run.communicate() for run in runs]
    assert sum(out == "held\n" for out, _ in ends) == 1
    assert sum("is being written by process" in err for _, err in ends) == 5
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="a file is in the way of a folder"):
        writer_lock(tmp_path / "file" / "stage").__enter__()


def test_a_process_that_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    process = hold_elsewhere(tmp_path)
    ending = threading.Timer(1.0, process.kill)
    ending.start()
    with caplog.at_level(logging.INFO, "spa"), writer_lock(tmp_path, wait=True):
        process.communicate()
    told = [r.getMessage() for r in caplog.records if "waiting for it" in r.getMessage()]
    assert len(told) == 1
    assert f"{tmp_path} is being written by process {process.pid} on " in told[0]


def test_a_folder_that_goes_while_its_holder_is_waited_for_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    process = hold_elsewhere(folder)

    def remove() -> None:
        folder.rename(tmp_path / "removing")
        process.kill()

    removing = threading.Timer(1.0, remove)
    removing.start()
    with writer_lock(folder, wait=True):
        assert json_holder(folder).pid == os.getpid()
    process.communicate()


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with writer_lock(tmp_path):
        assert json_holder(tmp_path).pid == os.getpid()
        with pytest.raises(RunError, match="is being written by"):
            writer_lock(tmp_path).__enter__()
    assert list(tmp_path.iterdir()) == []
