"""vLLM without spa: one call of `LLM.chat` over all rows.

An engine takes the memory that there is, so spa's is ended before the bare one is started.
"""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from generation.cases import Case, make_prompts
from generation.settings import Order, Timing
from generation.stage import SampleStage
from spa.models.loading import local_path

__all__ = ["measure", "missing"]

ENGINE = {"max_model_len": 2048}
"""The same for both sides."""


def missing(order: Order) -> str | None:
    """Why the backend cannot be measured here; None if it can."""
    del order
    absent = [name for name in ("vllm", "spa_vllm") if find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def measure(order: Order) -> dict[str, list[Timing]]:
    """Times spa, then the bare engine."""
    with SampleStage({"use": "vllm", "path": order.model, "dtype": order.dtype, **ENGINE}) as stage:
        stage.run(_warm_up(order.case))
        spa = [stage.run(order.case) for _ in range(order.repeats)]
    return {"spa": spa, "bare, LLM.chat": _bare(order)}


def _bare(order: Order) -> list[Timing]:
    from vllm import LLM

    llm = LLM(str(local_path(order.model)), dtype=order.dtype, **ENGINE)
    try:
        _chat(llm, _warm_up(order.case))
        return [_chat(llm, order.case) for _ in range(order.repeats)]
    finally:  # else this process waits for the engine's at its end
        llm.llm_engine.engine_core.shutdown()


def _chat(llm: Any, case: Case) -> Timing:
    from vllm import SamplingParams

    turns = [
        [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
        for prompt in make_prompts(case)
    ]
    sampling = SamplingParams(
        n=case.samples, temperature=case.temperature, max_tokens=case.max_tokens
    )
    started = time.perf_counter()
    answers = llm.chat(turns, sampling, use_tqdm=False)
    seconds = time.perf_counter() - started
    samples = [sample for answer in answers for sample in answer.outputs]
    return Timing(seconds, sum(len(sample.token_ids) for sample in samples), len(samples))


def _warm_up(case: Case) -> Case:
    return replace(case, prompts=4, max_tokens=4)
