"""Runs one vLLM engine: ``python -m spa_vllm.worker DESCRIPTOR``. Only this module imports vllm.

It reads what is to be done from a socket that it inherits, and writes each answer there as soon as
the engine has it. What it and vLLM print goes to the log that the backend opened. It ends when it
is told to, and at once, with all processes that vLLM started, when the backend is gone.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import multiprocessing
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, NoReturn

from spa_vllm.arguments import unknown_arguments
from spa_vllm.channel import Channel, Told

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest
    from vllm.outputs import RequestOutput
    from vllm.v1.engine.llm_engine import LLMEngine

__all__ = ["Worker", "main"]

_FINISHED = ("stop", "length")


class Worker:
    """An engine and what is under way in it."""

    def __init__(self, engine: LLMEngine, inbox: queue.SimpleQueue[Told], channel: Channel) -> None:
        """Takes over an engine that is ready."""
        self.engine = engine
        self.inbox = inbox
        self.channel = channel
        self._labels: dict[str, list[int]] = {}
        self._names: dict[str, str] = {}
        self._adapters: dict[int, LoRARequest] = {}

    def serve(self) -> None:
        """Works until it is told to end: takes all that has come, steps, tells what is done."""
        while True:
            for message in self._arrived():
                if message["do"] == "end":
                    return
                self._take(message)
            if self.engine.has_unfinished_requests():
                done = [self._told(output) for output in self.engine.step() if output.finished]
                if done:
                    self.channel.send_all(done)

    def _arrived(self) -> Sequence[Told]:
        """What has come by now; waits only when the engine has nothing to do."""
        found: list[Told] = []
        if not self.engine.has_unfinished_requests():
            found.append(self.inbox.get())
        while True:
            try:
                found.append(self.inbox.get_nowait())
            except queue.Empty:
                return found

    def _take(self, message: Told) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        if message["do"] == "adapter":
            self.channel.send(self._load(message))
        elif message["do"] == "abort":
            names = [self._names.pop(name) for name in message["ids"] if name in self._names]
            self.engine.abort_request(names, internal=True)
            for name in message["ids"]:
                self._labels.pop(name, None)
        else:
            try:
                self._add(message)
            except EngineDeadError:
                raise
            except Exception as error:  # what vLLM refuses is refused alone
                self.channel.send(
                    {"is": "refused", "id": message["id"], "message": _first_line(error)}
                )

    def _load(self, message: Told) -> Told:
        """Reads an adapter now, where a fault can be told, and not while the engine runs."""
        from vllm.lora.request import LoRARequest

        adapter = LoRARequest(message["name"], message["id"], message["path"])
        try:
            loaded = self.engine.add_lora(adapter)
        except Exception as error:
            return {"is": "adapter", "problem": _first_line(error)}
        if not loaded:
            return {"is": "adapter", "problem": "vLLM does not take it; see its log"}
        self._adapters[message["id"]] = adapter
        return {"is": "adapter", "problem": None}

    def _add(self, message: Told) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        settings: dict[str, Any] = {"output_kind": RequestOutputKind.FINAL_ONLY}
        if message["do"] == "labels":
            settings |= {"max_tokens": 1, "temperature": 0.0}
            settings |= {"logprob_token_ids": message["labels"]}
            self._labels[message["id"]] = message["labels"]
        else:
            names = ("max_tokens", "temperature", "top_p", "seed", "stop_token_ids")
            settings |= {name: message[name] for name in names}
        adapter = message["adapter"]
        try:
            self._names[message["id"]] = self.engine.add_request(
                message["id"],
                {"type": "token", "prompt_token_ids": message["prompt"]},
                SamplingParams(detokenize=False, **settings),
                lora_request=None if adapter is None else self._adapters[adapter],
            )
        except BaseException:
            self._labels.pop(message["id"], None)
            raise

    def _told(self, output: RequestOutput) -> Told:
        """The answer of a finished request, as it is sent."""
        name, answer = output.request_id, output.outputs[0]
        self._names.pop(name, None)
        labels = self._labels.pop(name, None)
        if answer.finish_reason not in _FINISHED:
            problem = f"the engine ended it with {answer.finish_reason!r}"
            return {"is": "refused", "id": name, "message": problem}
        if labels is None:
            tokens = list(answer.token_ids)
            return {"is": "chat", "id": name, "tokens": tokens, "finish": answer.finish_reason}
        assert answer.logprobs
        found = answer.logprobs[0]
        return {"is": "labels", "id": name, "logprobs": [found[label].logprob for label in labels]}


def main(descriptor: int) -> None:
    """Starts the engine that the first message describes, and works for it until told to end."""
    faulthandler.enable()  # a crash in vLLM's own code is then explained in the log
    os.set_inheritable(descriptor, False)
    channel = Channel(socket.socket(fileno=descriptor))
    inbox: queue.SimpleQueue[Told] = queue.SimpleQueue()
    ending = threading.Event()
    threading.Thread(target=_read, args=(channel, inbox), daemon=True).start()
    try:
        engine, facts = _start(inbox.get()["engine"])
    except Exception as error:
        traceback.print_exc()
        _tell(channel, {"is": "failed", "message": f"{type(error).__name__}: {error}"})
        _end_all()
    threading.Thread(target=_watch, args=(channel, ending), daemon=True).start()
    channel.send({"is": "ready", **facts})
    try:
        Worker(engine, inbox, channel).serve()
    except Exception as error:
        traceback.print_exc()
        # Where a process of vLLM has ended, that is the cause, and the watcher knows it.
        threading.Event().wait(1)
        _tell(channel, {"is": "died", "message": f"{type(error).__name__}: {_first_line(error)}"})
        _end_all()
    ending.set()
    engine.engine_core.shutdown()


def _start(arguments: dict[str, Any]) -> tuple[LLMEngine, dict[str, Any]]:
    """The engine, and what the backend must know of it.

    Raises:
        ValueError: If vLLM has no such argument.
    """
    from vllm import EngineArgs
    from vllm.platforms import current_platform
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.llm_engine import LLMEngine

    known = [field.name for field in dataclasses.fields(EngineArgs)]
    if problems := unknown_arguments(arguments, known):
        raise ValueError(" ".join(problems))
    engine = LLMEngine.from_engine_args(EngineArgs(**arguments), UsageContext.LLM_CLASS)
    facts = {
        "max_model_len": int(engine.vllm_config.model_config.max_model_len),
        "max_num_seqs": int(engine.vllm_config.scheduler_config.max_num_seqs),
        # On a CPU a request with a seed of its own stops the engine.
        "takes_seeds": not current_platform.is_cpu(),
    }
    return engine, facts


def _read(channel: Channel, inbox: queue.SimpleQueue[Told]) -> None:
    """Hands on what comes; a channel that ends before its time means that the backend is gone."""
    for message in channel.messages():
        inbox.put(message)
        if message["do"] == "end":
            return
    _end_all()


def _watch(channel: Channel, ending: threading.Event) -> None:
    """Ends all when a process of vLLM has ended: the engine would wait for it without end."""
    children = {child.sentinel: child for child in multiprocessing.active_children()}
    if not children:
        return
    ended = wait(list(children))[0]
    if ending.is_set():
        return
    child = children[ended]  # type: ignore[index]  # only sentinels were given
    child.join(1)
    _tell(channel, {"is": "died", "process": child.name, "code": child.exitcode})
    _end_all()


def _tell(channel: Channel, told: Told) -> None:
    """Sends last words, which may find nobody."""
    with suppress(OSError):
        channel.send(told)


def _end_all() -> NoReturn:
    """Ends this process and all that vLLM started, at once."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.getpgrp() == os.getpid():  # as the backend starts it: a group of its own
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


if __name__ == "__main__":
    main(int(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads of vLLM may wait for processes that are gone
