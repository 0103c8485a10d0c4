"""The HTTP client under the official one: every try passes here, the repeated ones included.

The official client decides whether and when to try again; this one sees each try, keeps to the
pace, tells the flow how it went, and turns an answer that cannot be read into an error of the
connection, so that it is tried again like one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2

from spa_openai.config import OpenAIConfig
from spa_openai.failures import MalformedAnswer
from spa_openai.flow import Flow
from spa_openai.pace import Pace
from spa_openai.secrets import NO_KEY
from spa_openai.spending import Spending
from spa_openai.wire import Answer, read_answer

__all__ = ["ANSWER", "CHAT", "WatchedClient"]

CHAT = "/chat/completions"
ANSWER = "spa_answer"
"""The extension of a response under which its `Answer` is."""

_BUSY = frozenset({429, 503, 504, 529})
_CONNECT = 10.0  # seconds until a server that does not even take a connection is given up


class WatchedClient(httpx2.AsyncClient):
    """Sends requests of chat/completions under a flow and a pace; others as they are."""

    def __init__(self, config: OpenAIConfig, flow: Flow, pace: Pace, spending: Spending) -> None:
        """Keeps what is asked at every try."""
        super().__init__(
            timeout=httpx2.Timeout(config.timeout, connect=min(_CONNECT, config.timeout)),
            limits=httpx2.Limits(max_connections=config.max_concurrency + 1),
        )
        self._seconds = config.timeout
        self._flow = flow
        self._pace = pace
        self._spending = spending

    async def send(
        self,
        request: httpx2.Request,
        **options: Any,  # noqa: ANN401 - handed on as they are
    ) -> httpx2.Response:
        """Sends one try and reads its answer.

        Raises:
            MalformedAnswer: If the answer cannot be read.
            CostLimitError: If nothing more may be sent.
        """
        if not request.url.path.endswith(CHAT):
            return await super().send(request, **options)
        await self._pace.admit(request.content)
        self._spending.check()
        self._spending.requests += 1
        self._spending.retries += request.headers.get("x-stainless-retry-count", "0") != "0"
        number = self._flow.begin()
        try:
            response = await self._whole(request, options)
        except httpx2.TimeoutException:
            self._flow.overloaded(number)
            raise
        except BaseException:
            self._flow.cancelled()
            raise
        if response.status_code in _BUSY:
            self._spending.busy += 1
            self._flow.overloaded(number)
        else:
            self._flow.answered()
        if response.is_success:
            response.extensions[ANSWER] = _read(request, response)
        return response

    async def _whole(self, request: httpx2.Request, options: dict[str, Any]) -> httpx2.Response:
        """The response with its body, within the time: httpx limits the time between bytes only."""
        try:
            async with asyncio.timeout(self._seconds):
                return await super().send(request, **options)
        except TimeoutError:
            raise httpx2.ReadTimeout("the whole answer takes too long", request=request) from None


def _read(request: httpx2.Request, response: httpx2.Response) -> Answer:
    try:
        return read_answer(response.content, _key(request))
    except ValueError as error:
        raise MalformedAnswer(str(error), request=request) from None


def _key(request: httpx2.Request) -> str:
    """The key that a request carries."""
    return request.headers.get("authorization", "").partition(" ")[2] or NO_KEY
