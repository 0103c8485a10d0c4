"""Stands in for the worker: the same messages, no vLLM. ``fake_worker.py BEHAVIOUR DESCRIPTOR``.

It works on up to two requests at once, the shortest first, and tells what it was given: an answer
to a chat request is the process id, the number of its adapter and how much it held at most.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

from spa_vllm.channel import Channel


def work(behaviour: str, channel: Channel) -> None:
    messages = channel.messages()
    arguments = next(messages)["engine"]
    print("arguments", sorted(arguments), flush=True)
    if behaviour == "fails":
        print(
            "(EngineCore pid=7) ValueError: Free memory on device cuda:0 (3/80 GiB) on startup is"
            " less than desired GPU memory utilization (0.9, 72 GiB)."
        )
        print(f"the token is {os.environ.get('HF_TOKEN')}", flush=True)
        channel.send({"is": "failed", "message": "RuntimeError: Engine core initialization failed"})
        os._exit(1)
    if behaviour == "exits":
        print("Segmentation fault in the kernels", flush=True)
        os._exit(7)
    if behaviour == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(f"child {child.pid}", flush=True)
    ready = {"is": "ready", "max_model_len": 400, "max_num_seqs": 2, "takes_seeds": False}
    channel.send(ready)
    held: list[dict[str, object]] = []
    most = 0
    aborted: set[str] = set()
    lock = threading.Condition()

    def answers() -> None:
        nonlocal most
        while True:
            with lock:
                lock.wait_for(lambda: held)
                time.sleep(0.01)
                held.sort(key=lambda each: (each.get("max_tokens", 1), int(str(each["id"]))))
                message = held.pop(0)
            if message["do"] == "labels":
                logprobs = [-1.0 - place for place, _ in enumerate(message["labels"])]
                channel.send({"is": "labels", "id": message["id"], "logprobs": logprobs})
            elif message["temperature"] == 9.0:
                channel.send({"is": "refused", "id": message["id"], "message": "too hot"})
            elif message["temperature"] == 8.0:
                os.kill(os.getpid(), signal.SIGKILL)
            elif message["temperature"] == 7.0:
                channel.send({"is": "died", "process": "EngineCore", "code": -9})
                os._exit(1)
            else:
                tokens = [int(str(message["adapter"] or 0)), most, message["max_tokens"]]
                if message["max_tokens"] > 1:
                    tokens.append(message["stop_token_ids"][0])
                channel.send(
                    {"is": "chat", "id": message["id"], "tokens": tokens, "finish": "stop"}
                )

    threading.Thread(target=answers, daemon=True).start()
    for message in messages:
        if message["do"] == "end":
            if behaviour == "lingers":
                time.sleep(600)
            os._exit(0)
        if message["do"] == "adapter":
            problem = "rank 512 is too high" if "broken" in message["path"] else None
            channel.send({"is": "adapter", "problem": problem})
        elif message["do"] == "abort":
            with lock:
                held[:] = [each for each in held if each["id"] not in message["ids"]]
            aborted.update(message["ids"])
            print(f"aborted {len(message['ids'])}", flush=True)
        else:
            with lock:
                held.append(dict(message))
                most = max(most, len(held))
                lock.notify_all()


if __name__ == "__main__":
    work(sys.argv[1], Channel(socket.socket(fileno=int(sys.argv[2]))))
