"""The backend ``openai``: keeps a server busy, and hands on its answers as they come."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

from spa.api import LabelRequest, Request, RequestFailure, Result, SpaError, Waiting
from spa_openai.asking import Asker
from spa_openai.checking import problems
from spa_openai.config import OpenAIConfig
from spa_openai.flow import Flow
from spa_openai.spending import CostLimitError, Spending
from spa_openai.worker import Worker

__all__ = ["OpenAIBackend"]

_Answered = Result | RequestFailure


class OpenAIBackend:
    """Asks a server with the OpenAI protocol, as many requests at once as it bears."""

    Config = OpenAIConfig
    remote = True

    def __init__(self, config: OpenAIConfig) -> None:
        """Keeps the settings; nothing is sent yet."""
        self.config = config
        self._flow = Flow(config.max_concurrency)
        self._spending = Spending(config.price, config.max_cost)
        self._worker: Worker | None = None
        self._asker: Asker | None = None
        self._labels_come = False

    def fingerprint(self) -> str:
        """Hash of what the recipe says of the model. What the server really runs, it cannot know.

        Needs no network, so that a run can be planned without.
        """
        said = [self.config.base_url, self.config.model, self.config.revision]
        return hashlib.sha256(json.dumps(["openai", *said]).encode()).hexdigest()

    def check(self, requests: Sequence[Request]) -> Sequence[str]:
        """Why requests like these could not be answered; asks the server what it is, once.

        One label request is sent: whether a server gives log-probabilities is said nowhere.
        """
        try:
            worker, asker = self._start()
        except SpaError as error:
            return [str(error)]
        found = problems(self.config, worker.run(asker.server()), requests)
        labels = next((each for each in requests if isinstance(each, LabelRequest)), None)
        if found or labels is None or self._labels_come:
            return found
        try:
            worker.run(asker.ask(labels))
        except SpaError as error:
            return [str(error)]
        self._labels_come = True
        return []

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, _Answered]]:
        """Yields (place, result) as answers come."""
        return self.stream(_Listed(requests))

    def stream(self, waiting: Waiting) -> Iterator[tuple[int, _Answered]]:
        """Yields (number, result) as answers come, and takes as many requests as there is room.

        Closing it cancels what is under way.

        Raises:
            SpaError: If the server can answer no request; what it had answered came before.
        """
        worker, asker = self._start()
        worker.run(asker.begin())
        ended: SimpleQueue[int] = SimpleQueue()
        under_way: dict[int, Future[_Answered]] = {}
        stop: SpaError | None = None
        try:
            while True:
                if stop is None:
                    room = self._flow.room(len(under_way))
                    for number, request in waiting.take(room) if room else ():
                        under_way[number] = worker.submit(asker.ask(request))
                        under_way[number].add_done_callback(_tell(ended, number))
                if not under_way or (
                    stop and ended.empty() and not isinstance(stop, CostLimitError)
                ):
                    break
                number = ended.get()
                try:
                    result = under_way.pop(number).result()
                except SpaError as error:
                    stop = stop or error
                else:
                    yield number, result
            if stop is not None:
                raise stop
        finally:
            worker.cancel(under_way.values())

    def figures(self) -> Mapping[str, float]:
        """Requests, retries, tokens, and the cost where prices are given."""
        return self._spending.figures()

    def close(self) -> None:
        """Ends the thread and its connections."""
        if self._worker is not None and self._asker is not None:
            self._worker.run(self._asker.close())
            self._worker.close()
        self._worker = self._asker = None

    def _start(self) -> tuple[Worker, Asker]:
        if self._worker is None or self._asker is None:
            asker = Asker(self.config, self._flow, self._spending)
            self._worker, self._asker = Worker("spa-openai"), asker
        return self._worker, self._asker


class _Listed:
    """Requests of a list, as a `Waiting`."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._left = iter(list(enumerate(requests)))

    def take(self, most: int) -> Sequence[tuple[int, Request]]:
        return [each for _, each in zip(range(most), self._left, strict=False)]


def _tell(ended: SimpleQueue[int], number: int) -> Callable[[Future[_Answered]], None]:
    return lambda _: ended.put(number)
