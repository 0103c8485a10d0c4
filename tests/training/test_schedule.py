"""Learning rates follow their formulas, and long gradients are scaled down."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spa.components.losses.configs import SpaConfig
from spa.components.losses.spa import SpaLoss
from spa.models.spec import ModelSpec
from spa.recipe.sections import LoraSettings, TrainConfig
from spa.training.outcome import TrainResult
from spa.training.run import train

PEAK = 1e-2


@pytest.fixture
def run(spec: ModelSpec, make: SimpleNamespace, tmp_path: Path) -> Callable[..., TrainResult]:
    def start(out: str = "out", **settings: Any) -> TrainResult:
        given: dict[str, Any] = {"batch_pairs": 4, "learning_rate": PEAK, "lora": LoraSettings(r=4)}
        return train(
            make.random_groups(6),
            make.objectives,
            model=spec,
            settings=TrainConfig(**{**given, **settings}),
            loss=SpaLoss(SpaConfig()),
            output_dir=tmp_path / out,
            seed=1,
            on_progress=lambda _progress: None,
            should_stop=lambda: False,
        )

    return start


def cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


def linear(done: float) -> float:
    return 1 - done


def constant(done: float) -> float:
    del done
    return 1.0


@pytest.mark.parametrize("ratio", [0.0, 0.4])
@pytest.mark.parametrize("fall", [cosine, linear, constant])
def test_learning_rates(run: Any, fall: Callable[[float], float], ratio: float) -> None:
    """Step s of S, from 0: s / W while warming up, then the schedule of (s - W) / (S - W)."""
    result = run(schedule=fall.__name__, warmup_ratio=ratio, epochs=2)
    steps = result.steps
    warm_up = math.floor(ratio * steps)
    assert steps >= 8
    assert (warm_up > 2) == (ratio > 0)
    expected = [
        PEAK * (step / warm_up if step < warm_up else fall((step - warm_up) / (steps - warm_up)))
        for step in range(steps)
    ]
    assert [e["learning_rate"] for e in result.history] == pytest.approx(expected, rel=1e-6)


def test_a_short_limit_bounds_the_step_and_the_norm_is_told_unscaled(run: Any) -> None:
    """AdamW's first step is rate times g / (|g| + 1e-8), and no longer than rate times |g| / 1e-8.

    So its length says how long the gradient was only where that is far below 1e-8.
    """
    free, clipped = (
        run(out=f"{most}", max_grad_norm=most, batch_pairs=1000) for most in (1e9, 1e-12)
    )
    (told,), (same,) = free.history, clipped.history
    assert told["grad_norm"] == pytest.approx(same["grad_norm"], rel=1e-6)
    assert told["grad_norm"] > 0.01
    assert told["learning_rate"] == same["learning_rate"] == PEAK
    assert step(free).max() == pytest.approx(PEAK, rel=1e-4)
    assert step(clipped).norm() == pytest.approx(PEAK * 1e-12 / 1e-8, rel=1e-3)


def step(result: TrainResult) -> torch.Tensor:
    """How far a first step moved the weights that start at 0."""
    saved = load_file(result.path / "adapter_model.safetensors")
    return torch.cat([w.flatten().abs() for name, w in saved.items() if "lora_B" in name])
