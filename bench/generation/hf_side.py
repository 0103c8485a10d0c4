"""transformers without spa: batched as well as `generate` alone allows, and the plain loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from generation.cases import Case, make_prompts
from generation.compare import in_turn
from generation.settings import Order, Timing
from generation.stage import SampleStage
from spa.models.chat import render

__all__ = ["measure", "missing"]


def missing(order: Order) -> str | None:
    """Why the backend cannot be measured here; None if it can."""
    del order
    return None


def measure(order: Order) -> dict[str, list[Timing]]:
    """Times spa, the best bare batches, and the plain loop, in turn, with the same weights."""
    section = {
        "use": "hf",
        "path": order.model,
        "device": order.device,
        "dtype": order.dtype,
    }
    with SampleStage(section) as stage:
        backend = stage.backend(order.case)
        bare = Bare(backend.model, backend.tokenizer, order.case)
        _warm_up(stage, bare, order.case)
        best = min(order.batch_sizes, key=lambda size: bare.batched(size).seconds)
        sides: Mapping[str, Callable[[], Timing]] = {
            "spa": lambda: stage.run(order.case),
            f"bare, batches of {best}": lambda: bare.batched(best),
            **({"plain loop": bare.loop} if order.plain else {}),
        }
        return in_turn(sides, order.repeats)


def _warm_up(stage: SampleStage, bare: Bare, case: Case) -> None:
    short = replace(case, prompts=2, max_tokens=4)
    stage.run(short)
    Bare(bare.model, bare.tokenizer, short).batched(2)


class Bare:
    """What a user of transformers would write. Sampling as spa does it: no top_k, no top_p."""

    def __init__(self, model: Any, tokenizer: Any, case: Case) -> None:
        """Renders the prompts; spa does so within its time."""
        self.model, self.tokenizer, self.case = model, tokenizer, case
        self.prompts = [render(tokenizer, prompt.messages) for prompt in make_prompts(case)]

    def batched(self, batch_size: int) -> Timing:
        """All rows, longest first, in left-padded batches."""
        rows = sorted(
            (ids for ids in self.prompts for _ in range(self.case.samples)), key=len, reverse=True
        )
        batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        return self._timed([(batch, 1) for batch in batches])

    def loop(self) -> Timing:
        """A call for each prompt."""
        return self._timed([([ids], self.case.samples) for ids in self.prompts])

    def _timed(self, calls: list[tuple[list[list[int]], int]]) -> Timing:
        pad = self.tokenizer.pad_token_id
        ends = self.model.generation_config.eos_token_id
        tokens = rows = 0
        started = time.perf_counter()
        for batch, samples in calls:
            width = max(map(len, batch))
            ids = torch.tensor([[pad] * (width - len(row)) + row for row in batch])
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch])
            with torch.inference_mode():
                output = self.model.generate(
                    input_ids=ids.to(self.model.device),
                    attention_mask=mask.to(self.model.device),
                    do_sample=True,
                    temperature=self.case.temperature,
                    top_k=0,
                    max_new_tokens=self.case.max_tokens,
                    num_return_sequences=samples,
                )
            for row in output[:, width:].tolist():
                self.tokenizer.decode(row, skip_special_tokens=True)
                tokens += next((i for i, t in enumerate(row, 1) if t in ends), len(row))
                rows += 1
        return Timing(time.perf_counter() - started, tokens, rows)
