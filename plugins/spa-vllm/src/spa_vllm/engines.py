"""Several engines as one: work goes to the one with most room, answers come as they finish.

An engine gets somewhat more than it works on at once, so that a row which ends is followed without
delay, and no more than that, so that memory stays bounded.
"""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from spa.api import SpaError
from spa_vllm.channel import Told
from spa_vllm.log import advice, last_lines, without_secrets
from spa_vllm.process import EngineProcess, Inbox, how_it_ended

__all__ = ["Adapter", "Engines"]

Start = Callable[[Inbox], Iterable[EngineProcess]]


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter on disk.

    Attributes:
        name: One content has one name; vLLM tells cached prompts apart by it.
        path: Its folder.
        rank: Highest rank in it.
    """

    name: str
    path: str
    rank: int


@dataclass(slots=True)
class _Engine:
    """An engine, its room, what it works on, and the last words of one that died."""

    process: EngineProcess
    room: int = 0
    under_way: set[int] = field(default_factory=set)
    last: Told | None = None


class Engines:
    """Engines of one model that are ready for work.

    Attributes:
        max_model_len: Most tokens of prompt and answer together.
        takes_seeds: Whether a request may have a seed of its own.
    """

    def __init__(self, start: Start) -> None:
        """Starts all engines side by side and waits until every one is ready.

        Raises:
            SpaError: If one cannot be started; none is left then.
        """
        self._inbox: Inbox = queue.SimpleQueue()
        self._engines: dict[EngineProcess, _Engine] = {}
        self._numbers = count(1)
        self._adapters: dict[str, int] = {}
        self._fault: SpaError | None = None
        self.max_model_len = 0
        self.takes_seeds = True
        try:
            for process in start(self._inbox):
                self._engines[process] = _Engine(process)
            self._wait_until_ready()
        except BaseException:
            for process in self._engines:
                process.kill()
            raise

    @property
    def processes(self) -> list[EngineProcess]:
        """The processes."""
        return list(self._engines)

    @property
    def room(self) -> int:
        """How many requests are welcome now."""
        return sum(max(each.room - len(each.under_way), 0) for each in self._engines.values())

    @property
    def under_way(self) -> bool:
        """Whether an answer is to come."""
        return any(each.under_way for each in self._engines.values())

    def load(self, adapter: Adapter) -> int:
        """The number by which requests name an adapter; it is loaded if it is new.

        Raises:
            SpaError: If vLLM does not take it, or an engine ended.
        """
        if adapter.name in self._adapters:
            return self._adapters[adapter.name]
        number = len(self._adapters) + 1
        message = {"do": "adapter", "id": number, "name": adapter.name, "path": adapter.path}
        for process in self._engines:
            process.send(message)
        problems = [self._next("adapter")["problem"] for _ in self._engines]
        if any(problems):
            raise SpaError(
                f"adapter {adapter.path!r} cannot be loaded by vLLM: "
                f"{next(filter(None, problems))}. vLLM takes LoRA on linear layers, without DoRA "
                "and without whole modules saved beside it. The backend hf takes others."
            )
        self._adapters[adapter.name] = number
        return number

    def add(self, message: dict[str, Any]) -> int:
        """Gives a request to the engine with most room; returns the number of its answer."""
        engine = max(self._engines.values(), key=lambda each: each.room - len(each.under_way))
        number = next(self._numbers)
        engine.under_way.add(number)
        engine.process.send({**message, "id": str(number)})
        return number

    def next_answer(self) -> tuple[int, Told]:
        """Waits for the next answer to a request that is under way.

        Raises:
            SpaError: If an engine ended.
        """
        while True:
            told = self._next("chat", "labels", "refused")
            number = int(told["id"])
            for engine in self._engines.values():
                if number in engine.under_way:
                    engine.under_way.discard(number)
                    return number, told

    def abort(self) -> None:
        """Drops what is under way: nobody waits for it any more."""
        for engine in self._engines.values():
            if engine.under_way:
                names = [str(number) for number in sorted(engine.under_way)]
                engine.process.send({"do": "abort", "ids": names})
                engine.under_way.clear()

    def close(self) -> None:
        """Ends all engines."""
        for process in self._engines:
            process.ask_to_end()
        for process in self._engines:
            process.end()

    def _wait_until_ready(self) -> None:
        for _ in self._engines:
            told = self._next("ready")
            engine = self._engines[told["engine"]]
            most = int(told["max_num_seqs"])
            engine.room = most + most // 4 + 1
            self.max_model_len = int(told["max_model_len"])
            self.takes_seeds = bool(told["takes_seeds"])

    def _next(self, *kinds: str) -> dict[str, Any]:
        """The next message of these kinds, with its engine; others are out of date.

        Raises:
            SpaError: If an engine ended, or could not start: from then on always.
        """
        if self._fault is not None:
            raise self._fault
        while True:
            process, told = self._inbox.get()
            if told["is"] in kinds:
                return {**told, "engine": process}
            if told["is"] in {"failed", "died"}:
                self._engines[process].last = told
            elif told["is"] == "ended":
                self._fault = self._ended(self._engines[process], int(told["code"]))
                raise self._fault

    def _ended(self, engine: _Engine, code: int) -> SpaError:
        log, last = engine.process.log, engine.last or {}
        ready = engine.room > 0
        if ready:
            what = f"the vLLM engine {_how(last, code)}"
            kept = "What was answered is kept: run the same command again to go on."
        else:
            what = f"the vLLM engine could not be started: {_reason(last, code)}"
            kept = ""
        hint = advice(log, str(last.get("message", "")))
        if hint is None and "message" not in last and last.get("code", code) == -signal.SIGKILL:
            hint = "Nobody did that? Then the machine may have run out of memory"
        parts = [f"{what}.", last_lines(log), f"{hint}." if hint else "", f"Its log: {log}", kept]
        return SpaError(without_secrets("\n".join(part for part in parts if part)))


def _how(last: Told, code: int) -> str:
    if "process" in last:
        return f"ended: its process {last['process']} {how_it_ended(int(last['code'] or 0))}"
    if "message" in last:
        return f"ended: {last['message']}"
    return f"ended: its process {how_it_ended(code)}"


def _reason(last: Told, code: int) -> str:
    message = str(last.get("message", "")).strip()
    first = message.splitlines()[0] if message else f"its process {how_it_ended(code)}"
    return first.rstrip(".")
