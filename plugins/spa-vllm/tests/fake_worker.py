"""Stands in for the worker: the same messages, no vLLM. ``fake_worker.py BEHAVIOUR DESCRIPTOR``.

It works on what it has, the shortest request first, and tells what it was given: an answer holds
the number of the adapter, how many requests it had at most, and ``max_tokens``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

from spa_vllm.channel import Channel


def start(behaviour: str, channel: Channel) -> None:
    if behaviour == "fails":
        print(
            "(EngineCore pid=7) ValueError: Free memory on device cuda:0 (3/80 GiB) on startup is"
            " less than desired GPU memory utilization (0.9, 72 GiB)."
        )
        print(f"ValueError: the token is {os.environ.get('HF_TOKEN')}", flush=True)
        channel.send({"is": "failed", "message": "RuntimeError: Engine core initialization failed"})
        os._exit(1)
    if behaviour == "exits":
        print("Segmentation fault in the kernels", flush=True)
        os._exit(7)
    if behaviour == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(f"child {child.pid}", flush=True)
    channel.send({"is": "ready", "max_model_len": 400, "max_num_seqs": 2, "takes_seeds": False})


class Work:
    """What it has to do, and a thread that does it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.held: list[dict[str, Any]] = []
        self.most = 0
        self.changed = threading.Condition()
        threading.Thread(target=self.run, daemon=True).start()

    def add(self, message: dict[str, Any]) -> None:
        with self.changed:
            self.held.append(message)
            self.most = max(self.most, len(self.held))
            self.changed.notify_all()

    def abort(self, names: list[str]) -> None:
        with self.changed:
            self.held[:] = [each for each in self.held if each["id"] not in names]
        print(f"aborted {len(names)}", flush=True)

    def run(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.held)
                time.sleep(0.01)
                self.held.sort(key=lambda each: (each.get("max_tokens", 1), int(each["id"])))
                message = self.held.pop(0)
            self.channel.send({"id": message["id"], **self.answer(message)})

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["do"] == "labels":
            logprobs = [-1.0 - place for place, _ in enumerate(message["labels"])]
            return {"is": "labels", "logprobs": logprobs}
        if message["temperature"] == 9.0:
            return {"is": "refused", "message": "too hot"}
        if message["temperature"] == 8.0:
            os.kill(os.getpid(), signal.SIGKILL)
        if message["temperature"] == 7.0:
            self.channel.send({"is": "died", "process": "EngineCore", "code": -9})
            os._exit(1)
        if message["temperature"] == 6.0:
            said = f"ValueError: not with {os.environ.get('HF_TOKEN')}"
            self.channel.send({"is": "died", "message": said})
            os._exit(1)
        tokens = [message["adapter"] or 0, self.most, message["max_tokens"]]
        if message["max_tokens"] > 1:
            tokens.append(message["stop_token_ids"][0])
        return {"is": "chat", "tokens": tokens, "finish": "stop"}


def serve(behaviour: str, channel: Channel) -> None:
    messages = channel.messages()
    assert next(messages)["do"] == "start"
    start(behaviour, channel)
    work = Work(channel)
    for message in messages:
        if message["do"] == "end":
            if behaviour == "lingers":
                time.sleep(600)
            os._exit(0)
        if message["do"] == "adapter":
            problem = "rank 512 is too high" if "broken" in message["path"] else None
            channel.send({"is": "adapter", "problem": problem})
        elif message["do"] == "abort":
            work.abort(message["ids"])
        else:
            work.add(dict(message))


if __name__ == "__main__":
    serve(sys.argv[1], Channel(socket.socket(fileno=int(sys.argv[2]))))
