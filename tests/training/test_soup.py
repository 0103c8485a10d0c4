"""Reward soups: the mean of adapters is exactly the mean of the models that they make."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spa.components.losses.reward_soup import RewardSoupLoss
from spa.components.losses.score_configs import RewardSoupConfig
from spa.errors import RunError
from spa.models.spec import ModelSpec
from spa.recipe.sections import LoraSettings, SoupSettings
from spa.training.outcome import TrainResult

Run = Callable[..., TrainResult]

# peft reads a name that transformers has renamed; spa hides it, plain peft does not.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")


@pytest.fixture
def adapters(run: Run) -> list[Path]:
    """Two, each trained for one objective, of different ranks and scales."""
    lora = (LoraSettings(r=4), LoraSettings(r=2, alpha=1.0))
    return [
        run(
            out=f"objective-{place}",
            loss=RewardSoupLoss(RewardSoupConfig(weights=weights)),
            lora=lora[place],
        ).path
        for place, weights in enumerate([(1.0, 0.0), (0.0, 1.0)])
    ]


def soup(adapters: list[Path], *weights: float) -> SoupSettings:
    return SoupSettings(adapters=tuple(map(str, adapters)), weights=weights)


def with_adapter(spec: ModelSpec, adapter: Path) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(spec.path), adapter)


def merged(spec: ModelSpec, adapter: Path) -> dict[str, torch.Tensor]:
    """All weights of the model that an adapter makes."""
    weights = with_adapter(spec, adapter).merge_and_unload().state_dict()
    return {name: weight.double() for name, weight in weights.items()}


@pytest.mark.parametrize("weights", [(6.0, 4.0), (1.0, 9.0), (1.0, 0.0)])
def test_the_mean_is_that_of_the_weights(
    run: Run, spec: ModelSpec, adapters: list[Path], weights: tuple[float, float]
) -> None:
    result = run(soup=soup(adapters, *weights))
    one, two = (merged(spec, adapter) for adapter in adapters)
    found = merged(spec, result.path)
    share = weights[0] / sum(weights)
    assert any((one[name] - two[name]).abs().max() > 1e-3 for name in one)
    for name, weight in found.items():
        torch.testing.assert_close(
            weight, share * one[name] + (1 - share) * two[name], rtol=0, atol=1e-6, msg=name
        )


def test_it_is_an_adapter_like_those_that_training_leaves(run: Run, adapters: list[Path]) -> None:
    result = run(soup=soup(adapters, 3, 1))
    assert (result.kind, result.steps, result.history, result.warnings) == ("adapter", 0, (), ())
    config = json.loads((result.path / "adapter_config.json").read_text(encoding="utf-8"))
    assert (config["r"], config["lora_alpha"]) == (6, 6)
    weights = load_file(result.path / "adapter_model.safetensors")
    assert {w.dtype for w in weights.values()} == {torch.float32}
    card = (result.path / "README.md").read_text(encoding="utf-8")
    assert "| `objective-0/adapter` | 0.75 |\n| `objective-1/adapter` | 0.25 |" in card
    assert str(result.path.parent.parent) not in card
    shutil.rmtree(adapters[0])  # a second call takes what the first one made
    assert run(soup=soup(adapters, 3, 1)).path == result.path


def test_what_cannot_be_averaged_is_refused(run: Run, adapters: list[Path]) -> None:
    fewer = run(out="fewer", lora=LoraSettings(r=2, target_modules=("q_proj",))).path
    with pytest.raises(RunError, match=r"fewer.adapter and .*objective-0.adapter are not adapters"):
        run(out="a", soup=soup([adapters[0], fewer], 1, 1))
    file = adapters[1] / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, "base_model_name_or_path": "another"}), "utf-8")
    with pytest.raises(RunError, match=r"is an adapter of another, and .* Only adapters of one"):
        run(out="b", soup=soup(adapters, 1, 1))
    file.write_text(json.dumps({**config, "use_dora": True}), "utf-8")
    with pytest.raises(RunError, match=r"not a plain LoRA adapter \(use_dora\)"):
        run(out="c", soup=soup(adapters, 1, 1))
    file.unlink()
    with pytest.raises(RunError, match=r"objective-1.adapter cannot be read as a LoRA adapter: "):
        run(out="d", soup=soup(adapters, 1, 1))


def test_a_launcher_of_several_processes_is_refused(
    run: Run, adapters: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spa.training.run.is_launched", lambda: True)
    with pytest.raises(RunError, match=r"mixed by one process. Start spa without a launcher"):
        run(soup=soup(adapters, 1, 1))
