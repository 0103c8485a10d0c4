"""A server with the OpenAI protocol without spa: asyncio and the client of the package `openai`."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from generation.cases import Case, make_prompts
from generation.compare import in_turn
from generation.settings import Order, Timing
from generation.stage import SampleStage

__all__ = ["measure", "missing"]

CONCURRENCY = 64
KEY = "OPENAI_API_KEY"


def missing(order: Order) -> str | None:
    """Why the backend cannot be measured here; None if it can."""
    absent = [name for name in ("openai", "spa_openai") if find_spec(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return None if order.server else "no server given: --server URL and --served-model NAME"


def measure(order: Order) -> dict[str, list[Timing]]:
    """Times spa and the bare client against the same server, in turn."""
    section = {
        "use": "openai",
        "model": order.model,
        "base_url": order.server,
        "api_key_env": KEY if KEY in os.environ else None,
        "max_concurrency": CONCURRENCY,
        "send_seed": False,
    }
    with SampleStage(section) as stage:
        warm_up = replace(order.case, prompts=4, max_tokens=4)
        stage.run(warm_up)
        asyncio.run(_ask_all(order, warm_up))
        return in_turn(
            {
                "spa": lambda: stage.run(order.case),
                "bare, asyncio": lambda: asyncio.run(_ask_all(order, order.case)),
            },
            order.repeats,
        )


async def _ask_all(order: Order, case: Case) -> Timing:
    from openai import AsyncOpenAI

    free = asyncio.Semaphore(CONCURRENCY)
    key = os.environ.get(KEY, "none")
    async with AsyncOpenAI(base_url=order.server, api_key=key, max_retries=5) as client:

        async def ask(turns: list[dict[str, str]]) -> Any:
            async with free:
                return await client.chat.completions.create(
                    model=order.model,
                    messages=turns,  # type: ignore[arg-type]  # its own classes of messages
                    temperature=case.temperature,
                    max_tokens=case.max_tokens,
                )

        rows = [
            [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
            for prompt in make_prompts(case)
            for _ in range(case.samples)
        ]
        started = time.perf_counter()
        answers = await asyncio.gather(*map(ask, rows))
        seconds = time.perf_counter() - started
    tokens = sum(answer.usage.completion_tokens for answer in answers)
    return Timing(seconds, tokens, len(answers))
