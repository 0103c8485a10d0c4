"""What the benchmark of sampling asks and makes of it; on a tiny model, all sides in seconds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from generation import hf_side, openai_side
from generation.cases import CASES, Case, make_prompts, quick
from generation.compare import in_turn, ratio, timing_table
from generation.launch import MissingError, measure
from generation.settings import Order, Timing

SMALL = Case("small", prompts=3, samples=2, max_tokens=3, texts=(1, 2))


def test_prompts_are_the_same_every_time_and_of_mixed_lengths() -> None:
    prompts = make_prompts(CASES["mixed"])
    assert prompts == make_prompts(CASES["mixed"])
    lengths = [len(prompt.text.split()) for prompt in prompts]
    assert max(lengths) > 2 * min(lengths)
    assert len({prompt.text for prompt in prompts}) == CASES["mixed"].prompts


def test_orders_survive_json() -> None:
    order = Order("openai", quick(CASES["mixed"]), server="http://localhost:1/v1")
    assert Order.from_json(json.loads(json.dumps(order.to_json()))) == order


def test_sides_take_turns_and_ratios_are_medians() -> None:
    order: list[str] = []

    def side(name: str, seconds: float) -> Timing:
        order.append(name)
        return Timing(seconds * len(order), tokens=10, rows=2)

    found = in_turn({"spa": lambda: side("spa", 1), "bare": lambda: side("bare", 2)}, 2)
    assert order == ["spa", "bare", "spa", "bare"]
    assert ratio(found["spa"], found["bare"]) == pytest.approx((1 / 4 + 3 / 8) / 2, abs=1e-3)
    assert "bare  2 rows      6.00 s" in timing_table("case", "hf", found)


def test_all_sides_of_hf_answer_all_rows(tiny_folder: Path) -> None:
    order = Order("hf", SMALL, model=str(tiny_folder), batch_sizes=(2, 4), repeats=2)
    found = hf_side.measure(order)
    spa, bare, loop = found
    assert (spa, loop) == ("spa", "plain loop")
    assert bare in ("bare, batches of 2", "bare, batches of 4")
    for timings in found.values():
        assert [timing.rows for timing in timings] == [6, 6]
        assert all(6 <= timing.tokens <= 18 and timing.seconds > 0 for timing in timings)


def test_a_backend_that_is_not_there_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_side, "find_spec", lambda name: None if "spa" in name else name)
    order = Order("openai", SMALL, server="http://localhost:1/v1")
    assert openai_side.missing(order) == "not installed: spa_openai"
    monkeypatch.setattr(openai_side, "find_spec", lambda name: name)
    assert openai_side.missing(order) is None
    assert openai_side.missing(replace(order, server=None)) == (
        "no server given: --server URL and --served-model NAME"
    )


def test_a_worker_tells_what_is_missing() -> None:
    with pytest.raises(MissingError, match=r"not installed: |no server given: "):
        measure(Order("openai", SMALL))
