"""The worker's own process, without vLLM: how it starts and ends."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from spa_vllm.channel import Channel
from spa_vllm.process import COMMAND

Worker = tuple["subprocess.Popen[str]", Channel]


@pytest.fixture
def worker(tmp_path: Path, fake_vllm: None) -> Iterator[Worker]:
    """A worker that finds a vLLM which cannot be imported."""
    ours, theirs = socket.socketpair()
    paths = [str(tmp_path / "packages"), *filter(None, [os.environ.get("PYTHONPATH")])]
    with theirs:
        process = subprocess.Popen(
            [*COMMAND, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
    channel = Channel(ours)
    yield process, channel
    channel.close()
    process.kill()
    process.communicate()


def test_it_ends_when_the_backend_is_gone(worker: Worker) -> None:
    process, channel = worker
    channel.close()
    assert process.wait(60) == -9


def test_it_says_why_it_cannot_start(worker: Worker) -> None:
    process, channel = worker
    channel.send({"do": "start", "engine": {"model": "org/name"}})
    assert list(channel.messages()) == [{"is": "failed", "message": "AssertionError: imported"}]
    assert process.wait(60) == -9
    assert process.stdout
    assert "AssertionError: imported" in process.stdout.read()


def test_a_message_may_be_of_any_length_and_hold_any_text() -> None:
    ours, theirs = map(Channel, socket.socketpair())
    message = {"do": "chat", "text": "Naïve\n你好 \N{PILE OF POO}", "least": float("-inf")}
    ours.send(message, message)
    found = theirs.messages()
    assert next(found) == message
    assert next(found) == message
    ours.close()
    assert list(found) == []
    theirs.close()
