"""What a server says of itself at /models, asked once and quickly."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI
from pydantic import BaseModel, ConfigDict, ValidationError

from spa_openai.bodies import Style
from spa_openai.config import Prefill

__all__ = ["PATIENCE", "Server", "look"]

PATIENCE = 5.0
"""Seconds that a server has to say what it is."""


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a server.

    Attributes:
        owner: Who made it, as it says of its models: ``"vllm"``, ``"llamacpp"``, ...; ``""`` if
            unknown.
        models: Names of the models that it serves, as far as it tells.
        status: The status of its answer; None if there was none.
        problem: Why there was no answer; ``""`` if there was.
    """

    owner: str = ""
    models: tuple[str, ...] = ()
    status: int | None = None
    problem: str = ""

    def style(self, prefill: Prefill) -> Style:
        """How it goes on with a begun answer."""
        if prefill != "auto":
            return prefill
        known: dict[str, Style] = {"vllm": "continue", "llamacpp": "last-turn"}
        return known.get(self.owner, "refuse")


class _Card(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str
    owned_by: str | None = None


class _List(BaseModel):
    model_config = ConfigDict(extra="ignore")

    data: list[_Card] = []


async def look(client: AsyncOpenAI, model: str) -> Server:
    """Asks a server what it serves. Never raises, and takes `PATIENCE` at most.

    Args:
        client: Speaks to the server.
        model: The one whose owner counts; the first one's if it is not in the list.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            response = await client.with_options(max_retries=0).get(
                "/models", cast_to=httpx2.Response
            )
    except (TimeoutError, APIConnectionError) as error:
        if isinstance(error, TimeoutError | APITimeoutError):
            return Server(problem=f"no answer within {PATIENCE:g} seconds")
        return Server(problem=_told(error.__cause__ or error))
    except APIStatusError as error:
        return Server(status=error.status_code)
    return _read(response, model)


def _read(response: httpx2.Response, model: str) -> Server:
    kind = response.headers.get("content-type", "").partition(";")[0] or "something"
    if not kind.endswith("json"):  # the page of another server
        return Server(status=200, problem=f"it answers {kind}, not JSON, at /models")
    try:
        cards = _List.model_validate_json(response.content).data
    except ValidationError:
        return Server(status=200)
    owners = {card.id: card.owned_by or "" for card in cards}
    owner = owners.get(model, next(iter(owners.values()), ""))
    return Server(owner=owner.lower(), models=tuple(owners), status=200)


def _told(error: BaseException) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
