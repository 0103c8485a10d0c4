"""Rewarded soups: an adapter for each objective, and their exact mixture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from spa.components.losses.configs import SimpoConfig
from spa.components.losses.simpo import SimpoLoss
from spa.components.pair_builders.configs import LexicographicConfig
from spa.components.pair_builders.lexicographic import LexicographicPairBuilder
from spa.errors import RunError
from spa.models.spec import ModelSpec
from spa.recipe.sections import LoraSettings, TrainConfig
from spa.training.groups import TrainingGroup
from spa.training.mixing import mix_adapters
from spa.training.outcome import TrainingStopped, TrainProgress, TrainResult
from spa.training.soup import train_soup
from spa.types import Group

# peft reads a name that transformers has renamed; spa hides it, plain peft does not.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")

Soup = Callable[..., TrainResult]


@pytest.fixture
def soup(spec: ModelSpec, make: Any, tmp_path: Path) -> Soup:
    def start(
        *,
        out: str = "out",
        weights: Sequence[float] = (3, 1),
        groups: dict[str, Sequence[TrainingGroup]] | None = None,
        on_progress: Callable[[TrainProgress], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
        before: Sequence[Path] = (),
        **settings: Any,
    ) -> TrainResult:
        given = {"batch_pairs": 4, "learning_rate": 1e-2, "epochs": 1, "lora": LoraSettings(r=4)}
        return train_soup(
            alone(make) if groups is None else groups,
            make.objectives,
            model=spec,
            settings=TrainConfig(soup=tuple(weights), **{**given, **settings}),
            loss=SimpoLoss(SimpoConfig()),
            output_dir=tmp_path / out,
            run_name="soup",
            seed=1,
            on_progress=on_progress,
            should_stop=should_stop,
            made_before=lambda name: [each / "objectives" / name for each in before],
        )

    return start


def alone(make: Any) -> dict[str, Sequence[TrainingGroup]]:
    """The same responses, with the pairs that each objective decides."""
    builder = LexicographicPairBuilder(LexicographicConfig(margin=1.0))
    found: dict[str, Sequence[TrainingGroup]] = {}
    for objective in make.objectives:
        own = []
        for group in make.random_groups(6):
            pairs = builder.pairs(Group(group.prompt, group.responses), (objective,))
            if pairs:
                own.append(TrainingGroup(group.prompt, group.responses, tuple(pairs)))
        found[objective.name] = own
    return found


def update(folder: Path) -> dict[str, torch.Tensor]:
    """What an adapter adds to each matrix."""
    config = json.loads((folder / "adapter_config.json").read_text())
    state = load_file(folder / "adapter_model.safetensors")
    return {
        name: state[name.replace("lora_A", "lora_B")].double()
        @ state[name].double()
        * (config["lora_alpha"] / config["r"])
        for name in state
        if "lora_A" in name
    }


def test_the_mixture_adds_the_weighted_sum_of_what_the_adapters_add(soup: Soup) -> None:
    result = soup(weights=(3, 1))
    parts = [result.path.parent / "objectives" / name / "adapter" for name in ("safety", "help")]
    safety, helpful, mixed = update(parts[0]), update(parts[1]), update(result.path)
    assert mixed.keys() == safety.keys()
    for name, matrix in mixed.items():
        torch.testing.assert_close(matrix, 0.75 * safety[name] + 0.25 * helpful[name])
        assert not torch.allclose(safety[name], helpful[name])


def test_peft_loads_it_and_mixes_alike(soup: Soup, model_folder: Path) -> None:
    result = soup(weights=(9, 1))
    parts = result.path.parent / "objectives"
    ids = torch.arange(2, 30)[None]

    def logits(folder: Path, mixed: bool) -> torch.Tensor:
        base = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
        model = PeftModel.from_pretrained(base, folder, adapter_name="safety")
        if mixed:
            model.load_adapter(parts / "help" / "adapter", adapter_name="help")
            model.add_weighted_adapter(["safety", "help"], [0.9, 0.1], "both", "cat")
            model.set_adapter("both")
        model.eval()
        with torch.no_grad():
            return model(ids).logits

    ours = logits(result.path, mixed=False)
    torch.testing.assert_close(ours, logits(parts / "safety" / "adapter", mixed=True))
    assert not torch.allclose(ours, logits(parts / "safety" / "adapter", mixed=False))


def test_it_counts_both_trainings_as_one(soup: Soup) -> None:
    seen: list[TrainProgress] = []
    result = soup(on_progress=seen.append, epochs=2)
    assert [entry["step"] for entry in result.history] == list(range(1, result.steps + 1))
    assert [state.done for state in seen] == sorted(state.done for state in seen)
    assert seen[-1].done <= max(state.total for state in seen)
    assert {state.total for state in seen} != {0}
    card = (result.path / "README.md").read_text()
    assert card.startswith("---\n")
    assert "| safety | 0.75 | ../objectives/safety/adapter |" in card


def test_stopped_in_the_second_training_it_goes_on_there(soup: Soup) -> None:
    whole = soup(out="whole")
    first = int(update_steps(whole.path.parent / "objectives" / "safety"))
    asked = 0

    def later() -> bool:
        nonlocal asked
        asked += 1
        return asked > first + 1

    with pytest.raises(TrainingStopped):
        soup(out="stopped", should_stop=later)
    stopped = whole.path.parent.parent / "stopped"
    assert (stopped / "objectives" / "safety" / "result.json").exists()
    assert not (stopped / "result.json").exists()
    made = (stopped / "objectives" / "safety" / "result.json").stat().st_mtime_ns
    result = soup(out="stopped")
    assert (stopped / "objectives" / "safety" / "result.json").stat().st_mtime_ns == made
    mixed, expected = update(result.path), update(whole.path)
    for name in expected:
        torch.testing.assert_close(mixed[name], expected[name])


def update_steps(folder: Path) -> float:
    return json.loads((folder / "result.json").read_text())["steps"]


def test_soups_with_other_weights_share_their_adapters(soup: Soup, tmp_path: Path) -> None:
    first = soup(out="first", weights=(9, 1))
    seen: list[TrainProgress] = []
    before = [tmp_path / "nothing", tmp_path / "first"]
    second = soup(out="second", weights=(1, 1), before=before, on_progress=seen.append)
    assert seen == []
    assert second.history == first.history
    parts = tmp_path / "second" / "objectives"
    safety, helpful = update(parts / "safety" / "adapter"), update(parts / "help" / "adapter")
    for name, matrix in update(second.path).items():
        torch.testing.assert_close(matrix, 0.5 * safety[name] + 0.5 * helpful[name])
    soup(out="third", before=before, learning_rate=2e-2, on_progress=seen.append)
    assert seen != []


def test_an_objective_without_pairs_is_named(soup: Soup, make: Any) -> None:
    groups = {**alone(make), "help": []}
    with pytest.raises(RunError, match=r"no pair differs on help by pairs\.margin"):
        soup(groups=groups)


def test_adapters_that_do_not_go_together_are_refused(soup: Soup, tmp_path: Path) -> None:
    parts = soup().path.parent / "objectives"
    one, other = parts / "safety" / "adapter", tmp_path / "other"
    shutil.copytree(parts / "help" / "adapter", other)
    config = json.loads((other / "adapter_config.json").read_text())

    def given(**changes: Any) -> None:
        (other / "adapter_config.json").write_text(json.dumps({**config, **changes}))

    given(use_dora=True)
    with pytest.raises(RunError, match="sets use_dora: only plain LoRA"):
        mix_adapters([one, other], [0.5, 0.5], tmp_path / "mixed", "")
    given(target_modules=["q_proj"])
    with pytest.raises(RunError, match="differs from the others in target_modules"):
        mix_adapters([one, other], [0.5, 0.5], tmp_path / "mixed", "")
    given(base_model_name_or_path="another/model")
    with pytest.raises(RunError, match="differs from the others in base_model_name_or_path"):
        mix_adapters([one, other], [0.5, 0.5], tmp_path / "mixed", "")
    assert not (tmp_path / "mixed").exists()
