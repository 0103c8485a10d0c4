from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest

from spa_openai.backend import OpenAIBackend
from spa_openai.config import OpenAIConfig

SERVER = Path(__file__).with_name("protocol_server.py")


class Running:
    """A server process and what it has seen."""

    def __init__(self, address: str) -> None:
        self.address = address

    def seen(self) -> dict[str, object]:
        with urlopen(f"{self.address}/seen") as response:
            return json.load(response)

    @property
    def bodies(self) -> list[dict[str, object]]:
        return [each["body"] for each in self.seen()["requests"]]


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Starts `protocol_server.py` with options, and ends it after the test."""
    with ExitStack() as stack:

        def start(*options: str) -> Running:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(SERVER), *options], stdout=subprocess.PIPE, text=True
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            return Running(process.stdout.readline().strip())

        yield start


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., OpenAIBackend]]:
    """Makes backends, with short waits between tries, and closes them after the test."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.02)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.05)
    with ExitStack() as stack:

        def make(server: Running | str, **settings: object) -> OpenAIBackend:
            address = server if isinstance(server, str) else f"{server.address}/v1"
            settings = {"model": "made-up", "api_key_env": None, **settings}
            backend = OpenAIBackend(OpenAIConfig(base_url=address, **settings))
            stack.callback(backend.close)
            return backend

        yield make
