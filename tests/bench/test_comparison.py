"""What the training benchmark makes of its measurements, without measuring."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from train.cases import CASES, Case, quick
from train.compare import Comparison
from train.settings import Measured, Order
from train.table import comparison_table


@pytest.fixture
def step() -> Measured:
    return Measured(
        pairs=10,
        tokens=1000,
        parameters=50,
        loss=2.0,
        digest="same",
        seconds=6.0,
        update_seconds=1.0,
        cpu_seconds=11.0,
        before_bytes=10,
        peak_bytes=100,
        how="segments",
    )


def test_pairs_of_each_pairing() -> None:
    assert Case("all", prompts=2, responses=3).places == [(0, 1), (0, 2), (1, 2)]
    refined = Case("refined", prompts=2, responses=3, pairing="refined")
    assert refined.places == [(0, 1), (0, 2)]
    assert refined.pairs == 4


def test_orders_survive_json() -> None:
    order = Order("trl", quick(CASES["long_prompts"]), measured_pairs=3)
    assert Order.from_json(json.loads(json.dumps(order.to_json()))) == order


def test_update_is_shared_among_the_pairs_of_the_whole_step(step: Measured) -> None:
    assert step.seconds_a_pair(10) == pytest.approx(0.6)
    assert step.seconds_a_pair(100) == pytest.approx(0.51)


def test_ratios_are_medians_of_repeats(step: Measured) -> None:
    trl = tuple(replace(step, seconds=s, peak_bytes=p) for s, p in ((12, 200), (60, 400), (18, 50)))
    found = Comparison("case", (step, step, step), trl)
    assert found.ratios == {"speed_ratio": 3.0, "memory_ratio": 0.5}
    assert "case: 3.00 times as fast, at 0.50 of the memory" in comparison_table([found], None)


def test_share_of_the_device_counts_six_operations_a_weight_and_token(step: Measured) -> None:
    table = comparison_table([Comparison("case", (step,), (step,))], peak_tflops=1e-7)
    assert "50.0%" in table  # 6 * 50 * 1000 operations in 6 seconds, of 1e5 a second


def test_other_tokens_or_another_loss_are_found(step: Measured) -> None:
    def wrong(dtype: str, **changes: object) -> list[str]:
        return Comparison("case", (step,), (replace(step, **changes),)).differences(dtype)

    assert wrong("float32", loss=2.0019) == []
    assert wrong("float32", loss=2.0021) == ["case: loss 2.0 of spa, 2.0021 of TRL"]
    assert wrong("bfloat16", loss=2.0021) == []
    assert wrong("float32", digest="other") == ["case: TRL trained on other token ids than spa"]
    assert len(wrong("float32", loss=float("nan"))) == 1
