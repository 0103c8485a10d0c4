"""Asks a server one request at a time; many of these run side by side in the backend's thread."""

from __future__ import annotations

import asyncio
import logging

import httpx2
from openai import APIConnectionError, APIStatusError, AsyncOpenAI

from spa.api import ChatRequest, Request, RequestFailure, Result, SpaError
from spa_openai.bodies import LimitKey, write_body
from spa_openai.config import HOSTED, OpenAIConfig
from spa_openai.failures import (
    no_logprobs,
    refuses_limit_key,
    row_failure,
    row_of_answer,
    unreachable,
)
from spa_openai.flow import Flow
from spa_openai.labels import label_result
from spa_openai.pace import Pace
from spa_openai.replies import chat_result
from spa_openai.secrets import read_key
from spa_openai.sending import ANSWER, CHAT, WatchedClient
from spa_openai.server import Server, look
from spa_openai.spending import Spending
from spa_openai.wire import Answer

__all__ = ["HOPELESS", "Asker", "refuses_plain_text", "refuses_prefill"]

HOPELESS = 20
"""Rows that fail in a row, with none answered since, until no further one is tried."""

_OF_THE_SERVER = frozenset({"bad_request", "malformed", "rate_limited", "server_error", "timeout"})
"""Reasons that tell of the server rather than of a row."""

_log = logging.getLogger(__name__)


def refuses_prefill(config: OpenAIConfig, server: Server) -> str:
    """What to do about a server that does not go on with a begun answer."""
    by = "prefill: refuse says so" if config.prefill == "refuse" else (
        f"it calls itself {server.owner or 'nothing'!r}, and vLLM and llama.cpp are known to do it"
    )  # fmt: skip
    return (
        f"the server at {config.base_url} does not continue a begun answer ({by}). Set "
        "judge.prefill (or that of the component that asks) to '', or, if the server can do it, "
        "the backend's prefill to continue or last-turn."
    )


def refuses_plain_text(config: OpenAIConfig) -> str:
    """What to do about plain text, which a protocol of conversations has no place for."""
    return (
        f"the server at {config.base_url} is asked by conversations alone, and cannot go on with "
        "plain text. Set format: chat in the evaluator, or use the backend hf or vllm."
    )


class Asker:
    """Turns requests into results, and knows what the server was found to be like."""

    def __init__(self, config: OpenAIConfig, flow: Flow, spending: Spending) -> None:
        """Makes the client.

        Raises:
            SpaError: If there is no key.
        """
        self._config = config
        self._key = read_key(config)
        self._spending = spending
        pace = Pace(config.requests_per_minute, config.tokens_per_minute)
        self._client = AsyncOpenAI(
            api_key=self._key,
            base_url=config.base_url,
            max_retries=config.max_retries,
            timeout=config.timeout,
            http_client=WatchedClient(config, flow, pace, spending),
        )
        if config.base_url != HOSTED:  # the environment's are those of an account there
            self._client.organization = self._client.project = None
        self._limit_key: LimitKey = "max_tokens"
        self._server: Server | None = None
        self._looking = asyncio.Lock()
        self._answered = 0
        self._failed_since = 0

    async def begin(self) -> None:
        """Begins a stage: a server that did not answer before may do so now."""
        if self._server is not None and self._server.problem:
            self._server = None

    async def server(self) -> Server:
        """What the server says of itself, asked once."""
        async with self._looking:
            if self._server is None:
                self._server = await look(self._client, self._config.model)
            return self._server

    async def ask(self, request: Request) -> Result | RequestFailure:
        """The result of a request, or why this row has none.

        Raises:
            SpaError: If no request of this kind could be answered.
        """
        self._spending.check()
        server = await self.server()
        answered = self._answered
        try:
            answer = await self._answer(request, server)
        except (APIStatusError, APIConnectionError) as error:
            failure = row_failure(error, request, self._config, self._key, server.models)
            if isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
                await self._look_again(nothing_since=self._answered == answered)
            return self._failed(failure)
        self._answered += 1
        self._failed_since = 0
        self._spending.add(answer.usage)
        return self._result(request, answer)

    async def _look_again(self, *, nothing_since: bool) -> None:
        """Whether a server that takes no connection is gone; else it may only be crowded.

        Raises:
            SpaError: If it is: that is the fault of no row, and the last ones of a stage would be
                lost with it.
        """
        if nothing_since or (await look(self._client, self._config.model)).problem:
            raise SpaError(unreachable(self._config, "no connection at any try")) from None

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def _answer(self, request: Request, server: Server) -> Answer:
        try:
            return await self._post(request, server)
        except APIStatusError as error:
            if self._limit_key != "max_tokens" or not refuses_limit_key(error):
                raise
        if self._limit_key == "max_tokens":  # unless a request beside this one found it out
            self._limit_key = "max_completion_tokens"
            _log.info("%s takes max_completion_tokens, not max_tokens", self._config.base_url)
        return await self._post(request, server)

    async def _post(self, request: Request, server: Server) -> Answer:
        if request.prefill and not request.messages:
            raise SpaError(refuses_plain_text(self._config))
        style = server.style(self._config.prefill)
        if request.prefill and style == "refuse":
            if server.problem:
                raise SpaError(unreachable(self._config, server.problem))
            raise SpaError(refuses_prefill(self._config, server))
        body = write_body(
            request, self._config, owner=server.owner, style=style, limit_key=self._limit_key
        )
        response = await self._client.post(CHAT, cast_to=httpx2.Response, body=body)
        answer = response.extensions[ANSWER]
        assert isinstance(answer, Answer)
        return answer

    def _result(self, request: Request, answer: Answer) -> Result | RequestFailure:
        config = self._config
        failure = row_of_answer(request, answer, config.max_context)
        if failure is not None:
            return failure
        if isinstance(request, ChatRequest):
            return chat_result(request, answer)
        place = next(iter(answer.choice.places), None)
        if place is None or not place.top_logprobs:
            raise no_logprobs(config, "there are none in its answers")
        prompt_tokens = answer.usage.prompt_tokens if answer.usage is not None else 0
        return label_result(request.labels, place, config.max_missing_mass, prompt_tokens)

    def _failed(self, failure: RequestFailure) -> RequestFailure:
        """Counts a failure.

        Raises:
            SpaError: If the server has answered nothing for many rows.
        """
        if failure.reason in _OF_THE_SERVER:
            self._failed_since += 1
        if self._failed_since >= HOPELESS:
            raise SpaError(
                f"cannot get an answer from the server at {self._config.base_url}: {HOPELESS} rows "
                f"failed in a row, the last one as {failure.reason}: {failure.message}. What was "
                "answered is kept; see to the server and run again."
            )
        return failure
