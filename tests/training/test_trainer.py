"""The trainer divides once, stops between micro-batches, and reports trouble readably."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from spa.components.losses.configs import SpaConfig
from spa.components.losses.spa import SpaLoss
from spa.errors import RunError
from spa.training.assembly import pair_batch
from spa.training.batching import OptimizerBatch, plan_batches
from spa.training.encoding import encode
from spa.training.failures import readable_failures
from spa.training.forward import Forward
from spa.training.micro_batches import Budget, plan_micro_batches
from spa.training.trainer import PreferenceTrainer
from spa.training.workload import Workload
from spa.types import Objective

OBJECTIVES = (Objective("safety", ""), Objective("help", ""))


def trainer(
    model: Any,
    batches: tuple[OptimizerBatch, ...],
    folder: Path,
    micro_groups: int = 1,
    **more: Any,
) -> PreferenceTrainer:
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=1,
        optim="sgd",
        learning_rate=more.get("learning_rate", 1.0),
        lr_scheduler_type="constant",
        max_grad_norm=more.get("max_grad_norm", 1e9),
        num_train_epochs=1,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
    )
    work = Workload(
        batches=batches,
        loss=SpaLoss(SpaConfig()),
        objectives=OBJECTIVES,
        forward=more.get("forward", Forward(260)),
        budget=more.get("budget", Budget(10_000, micro_groups, packed=False)),
        context=nullcontext,
        reference=None,
        save_every=None,
        on_progress=more.get("on_progress", lambda _progress: None),
        should_stop=more.get("should_stop", lambda: False),
    )
    return PreferenceTrainer(model, arguments, work)


@pytest.fixture
def batches(make: SimpleNamespace, tokenizer: Any) -> Callable[[int], tuple[OptimizerBatch, ...]]:
    groups = encode(make.random_groups(5), make.objectives, tokenizer).groups
    return lambda batch_pairs: plan_batches(groups, batch_pairs, 1, 0)


@pytest.mark.parametrize("micro_groups", [1, 2, 5])
def test_trap_10_losses_are_divided_once_by_the_pairs_of_the_batch(
    make: SimpleNamespace, tmp_path: Path, batches: Any, micro_groups: int
) -> None:
    """One step of plain SGD at rate 1 moves the weights by exactly the gradient of the mean."""
    (batch,) = batches(1000)
    model = make.model()
    twin = copy.deepcopy(model)
    logprobs, mask = make.logprobs(twin, batch.groups)
    losses = SpaLoss(SpaConfig())(pair_batch(batch, batch.groups, logprobs, mask)).losses
    losses.mean().backward()

    run = trainer(model, (batch,), tmp_path, micro_groups)
    run.train()
    assert run.model_accepts_loss_kwargs  # what makes transformers skip or do a second division
    entry = run.state.log_history[0]
    norm = torch.stack([p.grad.norm() for p in twin.parameters()]).norm().item()
    assert entry["loss"] == pytest.approx(losses.mean().item(), rel=1e-5)
    assert entry["grad_norm"] == pytest.approx(norm, rel=1e-5)
    for after, before in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(after, before - before.grad, rtol=1e-5, atol=1e-6)


def test_a_long_gradient_is_scaled_down_to_the_limit(
    make: SimpleNamespace, tmp_path: Path, batches: Any
) -> None:
    """One step of plain SGD at rate 1 is as long as the gradient that it is given."""
    (batch,) = batches(1000)
    model = make.model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    run = trainer(model, (batch,), tmp_path, max_grad_norm=0.05)
    run.train()
    moved = torch.stack([(p - b).norm() for p, b in zip(model.parameters(), before, strict=True)])
    assert run.state.log_history[0]["grad_norm"] > 0.5
    assert moved.norm().item() == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("budget", [Budget(10_000), Budget(1), Budget(30, split=True)], ids=str)
def test_trap_10_groups_and_last_batches_of_any_size_weigh_their_pairs_alike(
    make: SimpleNamespace, tmp_path: Path, tokenizer: Any, budget: Budget
) -> None:
    """Groups of 1 to 10 pairs in batches of uneven size, against plain steps by hand."""
    groups = encode(
        [
            *make.random_groups(2, seed=1, responses=2),
            *make.random_groups(4, seed=2, responses=5)[2:],
            *make.random_groups(5, seed=3, responses=3)[4:],
        ],
        make.objectives,
        tokenizer,
    ).groups
    assert len({len(group.chosen) for group in groups}) >= 3
    plan = plan_batches(groups, 12, 1, 0)
    assert len({batch.pairs for batch in plan}) == len(plan) > 1
    model = make.model()
    twin = copy.deepcopy(model)
    expected = []
    for batch in plan:
        logprobs, mask = make.logprobs(twin, batch.groups)
        losses = SpaLoss(SpaConfig())(pair_batch(batch, batch.groups, logprobs, mask)).losses
        gradients = torch.autograd.grad(losses.mean(), list(twin.parameters()))
        expected.append(losses.mean().item())
        with torch.no_grad():
            for parameter, gradient in zip(twin.parameters(), gradients, strict=True):
                parameter.sub_(gradient, alpha=0.1)
    run = trainer(model, plan, tmp_path, budget=budget, learning_rate=0.1)
    run.train()
    steps = [entry for entry in run.state.log_history if "loss" in entry]
    assert [entry["pairs"] for entry in steps] == [batch.pairs for batch in plan]
    assert [entry["loss"] for entry in steps] == pytest.approx(expected, rel=1e-5)
    for after, wanted in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(after, wanted, rtol=1e-5, atol=1e-6)


@dataclass(frozen=True)
class Recording(Forward):
    """Keeps what every pass gave."""

    seen: list[torch.Tensor] = field(default_factory=list)

    def __call__(self, model: Any, parts: Any, **more: Any) -> Any:
        found = super().__call__(model, parts, **more)
        self.seen.append(found.logprobs.detach())
        return found


def test_pieces_are_carried_back_with_the_dropout_of_the_first_time(
    make: SimpleNamespace, tmp_path: Path, batches: Any
) -> None:
    model = make.model(attention_dropout=0.5)
    forward = Recording(260)
    (batch,) = batches(1000)
    pieces = Budget(1, split=True)
    trainer(model, (batch,), tmp_path, budget=pieces, forward=forward).train()
    responses = [len(group.responses) for group in plan_order(batch, pieces)]
    assert len(forward.seen) == 2 * sum(responses)
    start = 0
    for count in responses:
        first, second = (forward.seen[start + k * count :][:count] for k in (0, 1))
        start += 2 * count
        for a, b in zip(first, second, strict=True):
            torch.testing.assert_close(a, b)
    assert not torch.equal(forward.seen[0], make.logprobs(make.model(), batch.groups)[0][:1])


def plan_order(batch: OptimizerBatch, budget: Budget) -> list[Any]:
    return [m.groups[0] for m in plan_micro_batches(batch.groups, budget)]


def test_progress_comes_after_every_micro_batch(
    make: SimpleNamespace, tmp_path: Path, batches: Any
) -> None:
    plan = batches(6)
    seen: list[Any] = []
    trainer(make.model(), plan, tmp_path, on_progress=seen.append).train()
    assert len(seen) == sum(len(batch.groups) for batch in plan)
    assert seen[0].metrics == {}
    assert seen[-1].metrics["step"] == len(plan) - 1


def test_several_gpus_do_not_split_the_batch(
    make: SimpleNamespace, tmp_path: Path, batches: Any
) -> None:
    assert trainer(make.model(), batches(4), tmp_path).args.n_gpu == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(28, "No space left on device"),
            "training could not write to out: No space left on device. "
            "Free some space and run again to go on.",
        ),
        (
            RuntimeError("PytorchStreamWriter failed writing file data/0"),
            "training could not write to out: checkpoint not written, the disk may be full. "
            "Free some space and run again to go on.",
        ),
        (
            RuntimeError("basic_ios::clear: iostream error"),
            "training could not write to out: checkpoint not written, the disk may be full. "
            "Free some space and run again to go on.",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            "training needs more GPU memory than there is. Set a smaller train.micro_tokens with "
            "train.two_phase: true, or train.gradient_checkpointing: true, which do not change the "
            "result, or a smaller train.max_length, which leaves out longer responses. Finished "
            "steps are kept up to the last checkpoint.",
        ),
    ],
)
def test_failures_outside_spa_are_readable(error: Exception, message: str) -> None:
    with pytest.raises(RunError) as caught, readable_failures(Path("out")):
        raise error
    assert str(caught.value) == message


def test_bugs_stay_bugs() -> None:
    with pytest.raises(RuntimeError, match="shape mismatch"), readable_failures(Path("out")):
        raise RuntimeError("shape mismatch")
