"""Training in several processes: the same steps as in one, on replicated and on sharded models."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spa.components.losses.configs import DpoConfig, SpaConfig
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.spa import SpaLoss
from spa.errors import RunError
from spa.models.spec import ModelSpec
from spa.recipe.sections import LoraSettings, TrainConfig
from spa.training.launch import LossSource
from spa.training.outcome import TrainingStopped, TrainResult
from spa.training.run import train

LOSSES = {"spa": SpaLoss(SpaConfig(alpha=2.0)), "dpo": DpoLoss(DpoConfig())}


@pytest.fixture
def run(spec: ModelSpec, make: SimpleNamespace, tmp_path: Path) -> Any:
    def start(out: str, loss: str = "spa", **more: Any) -> TrainResult:
        settings: dict[str, Any] = {
            "batch_pairs": 7,
            "learning_rate": 1e-2,
            "epochs": 2,
            "lora": LoraSettings(r=4),
            "micro_groups": 1,
        }
        given = {k: more.pop(k) for k in list(more) if k in TrainConfig.model_fields}
        component = LOSSES[loss]
        return train(
            more.pop("groups", None) or make.random_groups(7),
            make.objectives,
            model=spec,
            settings=TrainConfig(**{**settings, **given}),
            loss=component,
            output_dir=tmp_path / out,
            seed=1,
            on_progress=more.pop("on_progress", lambda _progress: None),
            should_stop=more.pop("should_stop", lambda: False),
            loss_source=LossSource(f"spa-align/{loss}", component.config.model_dump()),
            **more,
        )

    return start


def weights(result: TrainResult) -> dict[str, torch.Tensor]:
    name = "adapter_model.safetensors" if result.kind == "adapter" else "model.safetensors"
    return load_file(result.path / name)


def same(one: TrainResult, other: TrainResult, names: tuple[str, ...] = ()) -> None:
    assert len(one.history) == len(other.history) > 1
    for mine, theirs in zip(one.history, other.history, strict=True):
        assert mine.keys() == theirs.keys()
        for name in ("loss", "grad_norm", "weight", "rewards/margins", "pairs", *names):
            if name in mine:
                assert mine[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-6), name
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(other)[name], value, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("loss", ["spa", "dpo"])
def test_two_processes_take_the_same_steps_as_one(run: Any, loss: str) -> None:
    """Seven groups in batches of two or three: turns are uneven, some processes have no pair."""
    seen: list[Any] = []
    alone = run("one", loss)
    two = run("two", loss, processes=2, on_progress=seen.append)
    same(alone, two)
    assert two.warnings == ()
    assert seen[-1].step == two.steps - 1
    assert not list((two.path.parent).glob("*.log"))
