"""TRL's own trainers read the exported folder of a real run, and train on every pair in it.

The run failed when its own training began: its pairs are there all the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("datasets")

from spa.cli import main
from spa.errors import RunError

pytestmark = [
    # TRL's own: where CPO lies, and what transformers has renamed since.
    pytest.mark.filterwarnings("ignore:You are importing from 'trl.experimental'"),
    pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing:FutureWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """The exported pairs of a run on the tiny model."""
    from tiny_recipe import write_tiny_recipe

    from spa.engine import pipeline

    def fail(*_: object) -> None:
        raise RunError("training failed")

    place = tmp_path_factory.mktemp("exported")
    recipe = write_tiny_recipe(place, tiny_folder, prompts=5)
    runs = str(place / "runs")
    sets = ["--set", "prompts.split.heldout=0", "--set", "evaluate=[]"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "train_stage", fail)
        assert main(["run", str(recipe), "--runs-dir", runs, "--name", "tiny", *sets]) == 1
    out = place / "pairs"
    assert main(["export", f"{runs}/tiny", "--format", "trl", "--output", str(out)]) == 0
    return out


@pytest.fixture
def pairs(folder: Path, load: Callable[..., Any]) -> Any:
    return load(str(folder), split="train")


def exported(folder: Path) -> int:
    """The number of pairs that the run's store holds, all of which are in the folder."""
    run = json.loads((folder.parent / "runs" / "tiny" / "run.json").read_text())
    assert (run["status"], run["error"]) == ("failed", "training failed")
    (rows,) = [stage["rows"] for stage in run["stages"] if stage["name"] == "pairs"]
    assert f"The pair builder made {rows} pairs; {rows} are here." in (
        folder / "README.md"
    ).read_text(encoding="utf-8")
    return int(rows)


def train(trainer: Any) -> tuple[int, list[float]]:
    """Trains for an epoch; returns how many examples were trained on, and the loss of each step."""
    import torch

    collate, seen = trainer.data_collator, []

    def counted(examples: Sequence[Any]) -> Any:
        seen.append(len(examples))
        return collate(examples)

    trainer.data_collator = counted
    before = [weight.detach().clone() for weight in trainer.model.parameters()]
    trainer.train()
    after = list(trainer.model.parameters())
    assert not all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    return sum(seen), [each["loss"] for each in trainer.state.log_history if "loss" in each]


def settings(pairs: Any, out: Path) -> dict[str, Any]:
    """One epoch of two steps on the processor, without anything that asks a network."""
    return {
        "output_dir": str(out),
        "per_device_train_batch_size": math.ceil(len(pairs) / 2),
        "num_train_epochs": 1,
        "learning_rate": 1e-3,
        "max_length": 512,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
    }


def test_dpo(folder: Path, pairs: Any, tiny_folder: Path, tmp_path: Path) -> None:
    from tiny_llama import make_tokenizer
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    tokenizer = make_tokenizer()
    trainer = DPOTrainer(
        AutoModelForCausalLM.from_pretrained(tiny_folder),
        args=DPOConfig(**settings(pairs, tmp_path)),
        train_dataset=pairs,
        processing_class=tokenizer,
    )
    # TRL tokenises the prompt as spa does: without the system prompt that samples were drawn with.
    first = trainer.train_dataset[0]
    question = pairs[0]["prompt"][0]["content"]
    assert tokenizer.decode(first["prompt_ids"]) == f"<|user|>{question}<|end|><|assistant|>"
    assert tokenizer.decode(first["chosen_ids"]) == pairs[0]["chosen"][0]["content"] + "<|end|>"
    count, losses = train(trainer)
    assert count == len(pairs) == exported(folder)
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[0] == pytest.approx(math.log(2), abs=1e-3)  # policy and reference are the same


def test_simpo(folder: Path, pairs: Any, tiny_folder: Path, tmp_path: Path) -> None:
    from tiny_llama import make_tokenizer
    from transformers import AutoModelForCausalLM
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    trainer = CPOTrainer(
        AutoModelForCausalLM.from_pretrained(tiny_folder),
        args=CPOConfig(
            **settings(pairs, tmp_path),
            loss_type="simpo",
            cpo_alpha=0.0,
            remove_unused_columns=False,
        ),
        train_dataset=pairs,
        processing_class=make_tokenizer(),
    )
    count, losses = train(trainer)
    assert count == len(pairs) == exported(folder)
    assert len(losses) == 2
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)
