"""Reference log-probabilities: kept on disk, shared by trainings, never those of another model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from spa.components.losses.configs import DpoConfig, SimpoConfig
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.ipo import IpoLoss
from spa.components.losses.ratio_configs import IpoConfig
from spa.components.losses.simpo import SimpoLoss
from spa.models.spec import ModelSpec
from spa.training.outcome import TrainProgress, TrainResult
from spa.training.reference import ReferenceLogprobs

Run = Callable[..., TrainResult]

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")

DPO = DpoLoss(DpoConfig())


@pytest.fixture
def phases(run: Run, tmp_path: Path) -> Callable[..., set[str]]:
    """Trains in a folder of its own, with references that all share; returns what it did."""
    numbers = iter(range(100))

    def start(**more: Any) -> set[str]:
        seen: list[TrainProgress] = []
        settings = {"loss": DPO, "batch_pairs": 1000, "epochs": 1, **more}
        run(
            out=f"run-{next(numbers)}",
            reference_dir=tmp_path / "shared",
            on_progress=seen.append,
            **settings,
        )
        return {progress.phase for progress in seen}

    return start


@pytest.fixture
def files(tmp_path: Path) -> Callable[[], list[Path]]:
    return lambda: sorted((tmp_path / "shared").rglob("*.*"))


def test_ids_may_hold_newlines(make: SimpleNamespace, tmp_path: Path) -> None:
    name = 'first line\nsecond, "line"'
    group = make.encoded([1], [[2, 3], [4]], [(0, 1)], name)
    rows = {
        f"{name}\t{name}/0": torch.tensor([-1.0, -2.0]),
        f"{name}\t{name}/1": torch.tensor([-3.0]),
    }
    file = tmp_path / "reference.safetensors"
    ReferenceLogprobs(rows).save(file, "identity")
    read = ReferenceLogprobs.load(file, "identity")
    assert read is not None
    assert read.lookup([group], torch.zeros(2, 2)).tolist() == [[-1.0, -2.0], [-3.0, 0.0]]
    assert ReferenceLogprobs.load(file, "another") is None


def test_trainings_from_the_same_model_share_it(
    phases: Callable[..., set[str]], files: Callable[[], list[Path]]
) -> None:
    assert phases() == {"reference", "train"}
    (file,) = files()
    assert file.name == "logprobs.safetensors"
    assert file.parent.name.startswith("reference-")
    before = file.stat().st_mtime_ns
    assert phases(loss=IpoLoss(IpoConfig())) == {"train"}
    assert phases(lora=None, learning_rate=1e-5, seed=7) == {"train"}
    assert phases(packing="none", micro_tokens=40) == {"train"}
    assert phases(max_length=200) == {"train"}  # which all pairs fit into
    assert files() == [file]
    assert file.stat().st_mtime_ns == before


def test_a_loss_without_reference_computes_none(
    phases: Callable[..., set[str]], files: Callable[[], list[Path]]
) -> None:
    assert phases(loss=SimpoLoss(SimpoConfig())) == {"train"}
    assert files() == []


def test_it_is_computed_anew_for_other_models_and_tokens(
    phases: Callable[..., set[str]],
    files: Callable[[], list[Path]],
    run: Run,
    spec: ModelSpec,
    make: SimpleNamespace,
    tmp_path: Path,
) -> None:
    phases()
    template = tmp_path / "other-template"
    make.model().save_pretrained(template)
    tokenizer = make.tokenizer()
    tokenizer.chat_template = "Be kind. " + tokenizer.chat_template
    tokenizer.save_pretrained(template)
    weights = tmp_path / "other-weights"
    make.model(seed=9).save_pretrained(weights)
    make.tokenizer().save_pretrained(weights)
    adapter = str(run(out="round-1", batch_pairs=1000, epochs=1).path)
    changes: list[dict[str, Any]] = [
        {"model": replace(spec, path=str(template))},
        {"model": replace(spec, path=str(weights))},
        {"model": replace(spec, adapter=adapter)},
        {"max_length": 15},
        {"groups": make.random_groups(6, seed=3)},
        {"dtype": "bfloat16"},
    ]
    for count, change in enumerate(changes, start=2):
        assert phases(**change) == {"reference", "train"}, change
        assert len(files()) == count
    assert phases() == {"train"}


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def garbled(file: Path) -> None:
    file.write_bytes(b"\xff" * 200)


@pytest.mark.parametrize("damage", [torn, emptied, garbled], ids=lambda f: f.__name__)
def test_a_damaged_file_is_replaced(
    phases: Callable[..., set[str]],
    files: Callable[[], list[Path]],
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    phases()
    (file,) = files()
    wanted = load_file(file)["logprobs"].clone()  # not the mapped file
    damage(file)
    caplog.clear()
    assert phases() == {"reference", "train"}
    (message,) = [r.message for r in caplog.records if r.name == "spa.training.reference"]
    assert message.startswith(
        f"reference log-probabilities are computed again: {file} cannot be read ("
    )
    assert torch.equal(load_file(file)["logprobs"], wanted)
    assert phases() == {"train"}


def test_a_file_whose_parts_do_not_fit_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "logprobs.safetensors"
    tensors = {"logprobs": torch.zeros(3)}
    for lengths in ("1,1", "2,2", "x"):
        save_file(tensors, file, {"identity": "i", "names": '["a", "b"]', "lengths": lengths})
        assert ReferenceLogprobs.load(file, "i") is None
    save_file(tensors, file, {"identity": "i"})
    assert ReferenceLogprobs.load(file, "i") is None
    assert len(caplog.records) == 4
    save_file(tensors, file)
    assert ReferenceLogprobs.load(file, "i") is None
