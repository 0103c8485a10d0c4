"""Training as a whole, with a tiny model: results, resume, rounds, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spa.api import PairBatch, PairLosses
from spa.components.losses.configs import DpoConfig, SftConfig, SimpoConfig, SpaConfig
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.sft import SftLoss
from spa.components.losses.simpo import SimpoLoss
from spa.components.losses.spa import SpaLoss
from spa.contracts import Loss
from spa.errors import RunError
from spa.models.spec import ModelSpec
from spa.recipe.sections import LoraSettings
from spa.training.outcome import TrainingStopped, TrainProgress, TrainResult

Run = Callable[..., TrainResult]

# peft reads a name that transformers has renamed; spa hides it, plain peft does not.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")


def weights(result: TrainResult) -> dict[str, torch.Tensor]:
    name = "adapter_model.safetensors" if result.kind == "adapter" else "model.safetensors"
    return load_file(result.path / name)


def logits(model: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(torch.arange(2, 30)[None]).logits


ALL_LOSSES = [
    SpaLoss(SpaConfig()),
    SimpoLoss(SimpoConfig()),
    DpoLoss(DpoConfig()),
    SftLoss(SftConfig()),
]


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: type(loss).__name__)
def test_every_loss_goes_down(run: Run, loss: Loss) -> None:
    result = run(loss=loss, epochs=8, schedule="constant", weight_decay=0.0)
    first, last = result.history[0]["loss"], result.history[-1]["loss"]
    losses = [entry["loss"] for entry in result.history]
    assert sum(losses[-3:]) < sum(losses[:3]), (first, last)
    assert result.warnings == ()
    assert all(entry["grad_norm"] > 0 for entry in result.history)


@pytest.mark.parametrize("ratio", [0.1, 0.99])
def test_a_single_step_learns(run: Run, ratio: float) -> None:
    result = run(batch_pairs=1000, epochs=1, warmup_ratio=ratio)
    assert result.steps == 1
    assert result.warnings == ()
    assert result.history[0]["learning_rate"] == pytest.approx(1e-2)
    assert any(weight.any() for name, weight in weights(result).items() if "lora_B" in name)


def test_history_holds_the_figures_of_every_step(run: Run) -> None:
    seen: list[TrainProgress] = []
    result = run(on_progress=seen.append)
    assert result.steps == len(result.history) > 3
    for number, entry in enumerate(result.history, start=1):
        assert entry["step"] == number
        assert {
            "loss", "grad_norm", "learning_rate", "epoch", "pairs", "rewards/chosen",
            "rewards/rejected", "rewards/margins", "rewards/accuracies", "weight",
            "weight/share_0", "weight/share_below_1", "weight/share_1_to_2",
            "weight/share_above_2", "gamma", "gamma/beta", "lengths/chosen", "lengths/rejected",
            "logps/chosen", "logps/rejected",
        } <= entry.keys()  # fmt: skip
        assert entry["gamma/beta"] == pytest.approx(0.2)
        assert entry["weight"] == pytest.approx(1.0)
    assert [entry["epoch"] for entry in result.history] == sorted(
        entry["epoch"] for entry in result.history
    )
    assert {entry["epoch"] for entry in result.history} == {1.0, 2.0}
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == seen[-1].total == sum(entry["pairs"] for entry in result.history)
    assert seen[-1].steps == result.steps


def test_the_first_loss_is_that_of_the_untrained_model(run: Run) -> None:
    """One batch of everything: DPO starts at log 2 with accuracy 0 and margins 0."""
    result = run(loss=DpoLoss(DpoConfig()), batch_pairs=1000, epochs=1)
    assert result.steps == 1
    assert result.history[0]["loss"] == pytest.approx(0.693147, abs=1e-6)
    assert result.history[0]["rewards/margins"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("lora", [LoraSettings(r=4), None], ids=["lora", "full"])
def test_the_step_does_not_depend_on_the_micro_batch_split(
    run: Run, lora: LoraSettings | None
) -> None:
    results = [
        run(out=f"m{size}", micro_groups=size, lora=lora, batch_pairs=9, loss=loss)
        for size in (1, 2, 100)
        for loss in [SpaLoss(SpaConfig(alpha=2.0))]
    ]
    for other in results[1:]:
        for mine, theirs in zip(results[0].history, other.history, strict=True):
            for name in ("loss", "grad_norm", "weight", "rewards/margins", "lengths/chosen"):
                assert mine[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-6)
        for name, value in weights(results[0]).items():
            torch.testing.assert_close(weights(other)[name], value, rtol=1e-5, atol=2e-5)


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(run: Run) -> None:
    first, second, other = run(out="a"), run(out="b"), run(out="c", seed=2)
    for name, value in weights(first).items():
        assert torch.equal(value, weights(second)[name])
    assert any(not torch.equal(v, weights(other)[n]) for n, v in weights(first).items())


def test_the_order_of_the_groups_changes_nothing(run: Run, make: SimpleNamespace) -> None:
    groups = make.random_groups(6)
    first, second = run(out="a", groups=groups), run(out="b", groups=groups[::-1])
    assert [e["loss"] for e in first.history] == [e["loss"] for e in second.history]


def test_trap_14_dropout_is_off_and_asking_for_it_turns_it_on(
    run: Run, make: SimpleNamespace, tmp_path: Path
) -> None:
    folder = tmp_path / "dropout-model"
    make.model(attention_dropout=0.5).save_pretrained(folder)
    make.tokenizer().save_pretrained(folder)
    noisy = ModelSpec(str(folder), dtype="float32", device="cpu")
    plain, same = run(out="plain"), run(out="noisy", model=noisy)
    assert [e["loss"] for e in plain.history] == [e["loss"] for e in same.history]
    asked = run(out="asked", lora=LoraSettings(r=4, dropout=0.5))
    assert [e["loss"] for e in asked.history][1:] != [e["loss"] for e in plain.history][1:]


@pytest.mark.parametrize("case", ["lora", "full", "lora dropout", "dpo"])
def test_resumed_training_equals_uninterrupted_training(run: Run, case: str) -> None:
    # Steps of two micro-batches each, stopped between the two of step 4.
    settings: dict[str, Any] = {
        "save_steps": 2,
        "weight_decay": 0.1,
        "batch_pairs": 7,
        "micro_groups": 1,
    }
    if case == "full":
        settings["lora"] = None
    elif case == "lora dropout":
        settings["lora"] = LoraSettings(r=4, dropout=0.3)
    elif case == "dpo":
        settings["loss"] = DpoLoss(DpoConfig())
    whole = run(out="whole", **settings)
    asked = iter([False] * (14 if case == "dpo" else 7) + [True])
    with pytest.raises(TrainingStopped) as stopped:
        run(out="parts", should_stop=lambda: next(asked), **settings)
    assert stopped.value.step == 3 < whole.steps
    assert stopped.value.steps == whole.steps
    assert str(stopped.value) == (
        f"training stopped after {stopped.value.step} of {whole.steps} steps"
    )
    done: list[TrainProgress] = []
    parts = run(out="parts", on_progress=done.append, **settings)
    assert done[0].step == stopped.value.step
    assert "reference" not in {progress.phase for progress in done}
    assert [dict(e) for e in parts.history] == [dict(e) for e in whole.history]
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(parts)[name]), name


def test_a_torn_checkpoint_is_passed_over(run: Run, tmp_path: Path) -> None:
    whole = run(out="whole", save_steps=1)
    asked = iter([False] * 8 + [True])
    with pytest.raises(TrainingStopped):
        run(out="torn", should_stop=lambda: next(asked), save_steps=1)
    checkpoints = sorted((tmp_path / "torn" / "checkpoints").iterdir())
    assert len(checkpoints) == 2
    (checkpoints[-1] / "trainer_state.json").write_text('{"global_st')
    torn = run(out="torn", save_steps=1)
    assert [dict(e) for e in torn.history] == [dict(e) for e in whole.history]


def test_a_checkpoint_of_sharded_training_is_not_taken_for_one_s_own(
    run: Run, tmp_path: Path
) -> None:
    """Its optimizer would not be found, and the learning rate would begin anew."""
    asked = iter([False] * 8 + [True])
    with pytest.raises(TrainingStopped):
        run(should_stop=lambda: next(asked), save_steps=1)
    folder = tmp_path / "out" / "checkpoints"
    last = max(folder.iterdir(), key=lambda path: int(path.name.partition("-")[2]))
    (last / "checksums.json").unlink()  # of a checkpoint that this one is made to look like
    optimizer = last / "optimizer.pt"
    for name, writer in {"latest": "DeepSpeed", "optimizer_0": "FSDP"}.items():
        optimizer = optimizer.rename(last / name)
        with pytest.raises(RunError) as error:
            run(save_steps=1)
        assert str(error.value) == (
            f"{last} was written by {writer}, and cannot be gone on from by a training without "
            f"sharding. Set train.accelerate as it was, or delete {folder} to train anew."
        )
    optimizer.rename(last / "optimizer.pt")
    assert run(save_steps=1).steps > 0


def test_finished_training_is_not_done_twice(run: Run, tmp_path: Path) -> None:
    first = run()
    progress: list[TrainProgress] = []
    assert run(on_progress=progress.append) == first
    assert progress == []
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_a_folder_of_another_training_is_refused(run: Run, tmp_path: Path) -> None:
    run()
    run(micro_groups=3, save_steps=1)
    with pytest.raises(RunError) as error:
        run(learning_rate=1e-3, loss=SimpoLoss(SimpoConfig()))
    assert str(error.value) == (
        f"{tmp_path / 'out'} holds another training, with other loss, settings. "
        "Use another folder, or delete it to train anew."
    )


def test_stopping_before_the_first_step_keeps_nothing_and_starts_again(
    run: Run, tmp_path: Path
) -> None:
    with pytest.raises(TrainingStopped, match="after 0 of"):
        run(should_stop=lambda: True)
    assert not list((tmp_path / "out").glob("checkpoints/*"))
    assert run().steps > 0


def test_no_pickle_of_arguments_is_written(run: Run, tmp_path: Path) -> None:
    asked = iter([False] * 8 + [True])
    with pytest.raises(TrainingStopped):
        run(should_stop=lambda: next(asked))
    names = {file.name for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert "training_args.bin" not in names
    assert not {name for name in names if name.endswith(".bin")}
    for name in ("optimizer.pt", "scheduler.pt"):
        for file in (tmp_path / "out").rglob(name):
            torch.load(file, weights_only=True)


def test_trap_13_the_reference_of_round_two_includes_the_earlier_adapter(
    run: Run, spec: ModelSpec, tmp_path: Path
) -> None:
    first = run(out="round-1", epochs=4)
    second_spec = ModelSpec(spec.path, "float32", adapter=str(first.path), device="cpu")
    loss = DpoLoss(DpoConfig())
    second = run(out="round-2", model=second_spec, loss=loss, batch_pairs=1000, epochs=1)
    assert second.history[0]["loss"] == pytest.approx(0.693147, abs=1e-6)
    bare = run(out="bare", loss=loss, batch_pairs=1000, epochs=1)
    reference = [
        load_file(file)["logprobs"]
        for name in ("round-2", "bare")
        for file in (tmp_path / name).glob("reference-*/logprobs.safetensors")
    ]
    assert not torch.allclose(*reference)
    assert bare.history[0]["loss"] == pytest.approx(0.693147, abs=1e-6)


def test_round_two_trains_the_earlier_adapter_on(run: Run, spec: ModelSpec) -> None:
    from peft import PeftModel

    from spa.models.loading import load_model

    first = run(out="round-1")
    second_spec = ModelSpec(spec.path, "float32", adapter=str(first.path), device="cpu")
    second = run(out="round-2", model=second_spec, learning_rate=1e-8, epochs=1)
    assert weights(first).keys() == weights(second).keys()
    loaded = [PeftModel.from_pretrained(load_model(spec), r.path) for r in (first, second)]
    torch.testing.assert_close(logits(loaded[1]), logits(loaded[0]), rtol=1e-4, atol=1e-4)
    other = run(out="other", model=second_spec, lora=LoraSettings(r=2))
    assert other.warnings == (
        "the adapter of the round before has r=4 and alpha=8.0; it is trained on as it is, "
        "and train.lora r=2, alpha=4.0 has no effect",
    )


def test_round_two_of_full_fine_tuning_starts_from_the_merged_adapter(
    run: Run, spec: ModelSpec
) -> None:
    from transformers import AutoModelForCausalLM

    from spa.models.loading import load_policy

    first = run(out="round-1")
    second_spec = ModelSpec(spec.path, "float32", adapter=str(first.path), device="cpu")
    full = run(out="full", model=second_spec, lora=None, learning_rate=1e-9, epochs=1)
    model = AutoModelForCausalLM.from_pretrained(full.path)
    torch.testing.assert_close(
        logits(model), logits(load_policy(second_spec)), rtol=1e-4, atol=1e-4
    )
    assert model.config.use_cache


def test_the_adapter_loads_with_plain_peft_and_transformers(run: Run, spec: ModelSpec) -> None:
    from peft import AutoPeftModelForCausalLM, PeftModel
    from transformers import AutoModelForCausalLM

    result = run()
    config = json.loads((result.path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == spec.path
    names = {file.name for file in result.path.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    base = AutoModelForCausalLM.from_pretrained(spec.path)
    before = logits(base)
    adapted = logits(PeftModel.from_pretrained(base, result.path))
    assert (adapted - before).abs().max() > 1e-2
    torch.testing.assert_close(
        logits(AutoPeftModelForCausalLM.from_pretrained(result.path)), adapted
    )


def test_the_model_card_says_where_it_comes_from(run: Run, spec: ModelSpec) -> None:
    card = (run().path / "README.md").read_text()
    head = f'---\nlicense: unknown # fill in\nbase_model: "{spec.path}"\nlibrary_name: peft\n'
    assert card.startswith(head)
    for line in (
        "| objectives, most important first | safety > help |",
        "| loss | SpaLoss (beta = 2.5, gamma = 0.5, alpha = 1.0, gap = sum) |",
        "| trained weights | LoRA, r = 4, alpha = 8, dropout = 0 |",
        "| seed | 1 |",
        "## Limits",
    ):
        assert line in card


class NoGradient:
    """A loss whose gradient is 0 everywhere."""

    needs_reference = False

    def __call__(self, batch: PairBatch) -> PairLosses:
        return PairLosses(losses=batch.averages[batch.chosen] * 0)


class Constant:
    needs_reference = False

    def __call__(self, batch: PairBatch) -> PairLosses:
        return PairLosses(losses=torch.ones(len(batch.chosen)))


class NotANumber:
    needs_reference = False

    def __call__(self, batch: PairBatch) -> PairLosses:
        return PairLosses(losses=batch.averages[batch.chosen] * float("nan"))


class WrongShape:
    needs_reference = False

    def __call__(self, batch: PairBatch) -> PairLosses:
        return PairLosses(losses=batch.averages.mean())


def test_trap_15_a_run_that_learns_nothing_says_so(run: Run) -> None:
    result = run(loss=NoGradient(), batch_pairs=1000, epochs=3)
    assert result.warnings == (
        "the gradient was 0 in 3 of 3 steps, so nothing was learned in them",
        "training did not change the weights: what was saved behaves like the model before it",
    )
    assert result.warnings[0] in (result.path / "README.md").read_text()


def test_a_loss_that_is_not_finite_ends_training(run: Run) -> None:
    with pytest.raises(RunError) as error:
        run(loss=NotANumber(), batch_pairs=1000, micro_groups=1)
    assert str(error.value).startswith("the loss is not finite at step 1 (prompts 'p")
    assert str(error.value).endswith(
        "so nothing more can be learned. Lower train.learning_rate, or set train.dtype: float32; "
        "a custom loss may divide by 0 or take the logarithm of 0."
    )


def test_a_loss_of_the_wrong_shape_is_named(run: Run) -> None:
    with pytest.raises(RunError) as error:
        run(loss=WrongShape())
    assert str(error.value) == (
        "loss WrongShape returned 'losses' of shape (); it must be one value a pair: (3,)."
    )


def test_a_loss_without_gradient_is_refused(run: Run) -> None:
    with pytest.raises(RunError) as error:
        run(loss=Constant())
    assert str(error.value) == (
        "loss Constant does not depend on batch.logprobs, so nothing can be learned."
    )


def test_dropped_pairs_are_counted_and_warned_about(run: Run, make: SimpleNamespace) -> None:
    items = [
        make.scored("p/0", [5, 6], (3, 3)),
        make.scored("p/1", [], (2, 2)),
        make.scored("p/2", [7], (1, 1)),
    ]
    result = run(groups=[make.group("p", "hi", items)])
    assert result.dropped == {"empty_response": 2}
    assert "pairs left out of training: 2 empty_response" in result.warnings
    assert all(entry["pairs"] == 1 for entry in result.history)


def test_nothing_to_train_on(run: Run, make: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(RunError) as error:
        run(groups=[])
    assert str(error.value) == (
        "there are no preference pairs to train on. "
        "Use more prompts or samples, or a smaller pairs.margin."
    )
    with pytest.raises(RunError) as error:
        run(groups=make.random_groups(1), max_length=2)
    assert str(error.value) == (
        "no preference pair can be trained on: 3 longer_than_max_length. "
        "The longest allowed is 2 tokens (train.max_length)."
    )
    assert not (tmp_path / "out").exists()


def test_the_context_of_the_model_bounds_the_length(run: Run, make: SimpleNamespace) -> None:
    items = [
        make.scored("p/0", [5] * 300, (3, 3)),
        make.scored("p/1", [6], (2, 2)),
        make.scored("p/2", [7], (1, 1)),
    ]
    assert run(groups=[make.group("p", "hi", items)]).dropped == {"longer_than_max_length": 2}


def test_token_ids_of_another_tokenizer_are_noticed(run: Run, make: SimpleNamespace) -> None:
    items = [make.scored("p/0", [5, 900], (3, 3)), make.scored("p/1", [6], (2, 2))]
    with pytest.raises(RunError) as error:
        run(groups=[make.group("p", "hi", items)])
    assert str(error.value) == (
        "response 'p/0' holds token id 900, but the model's ids end at 263: it was made with "
        "another tokenizer. Sample again with this model."
    )


def test_float16_is_refused(run: Run) -> None:
    with pytest.raises(RunError, match="training in float16 is not supported"):
        run(dtype="float16")


@pytest.mark.parametrize("lora", [LoraSettings(r=4), None], ids=["lora", "full"])
def test_bfloat16_keeps_what_is_trained_in_fp32(run: Run, lora: LoraSettings | None) -> None:
    result = run(dtype="bfloat16", lora=lora, learning_rate=1e-5, epochs=1)
    assert {value.dtype for value in weights(result).values()} == {torch.float32}
    assert result.warnings == ()


def test_gradient_checkpointing_changes_nothing(run: Run) -> None:
    plain, saved = run(out="a"), run(out="b", gradient_checkpointing=True)
    for mine, theirs in zip(plain.history, saved.history, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-5)


def test_lora_that_fits_no_layer(run: Run) -> None:
    with pytest.raises(RunError, match=r"^train\.lora does not fit the model: .*nonsense"):
        run(lora=LoraSettings(target_modules=("nonsense",)))


@pytest.mark.filterwarnings("error")
def test_nothing_is_printed(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    run()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
