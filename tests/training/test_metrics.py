"""Figures add up over micro-batches, and say which objective decided which pairs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from spa.contracts import PairBatch, PairLosses
from spa.training.assembly import pair_batch
from spa.training.batching import OptimizerBatch
from spa.training.encoding import EncodedGroup
from spa.training.metrics import Figures, decided_by, pair_figures
from spa.types import Objective

SCORES = ((9.0, 1.0), (7.0, 8.0), (7.0, 3.0), (7.0, 3.0))
PAIRS = ((0, 1), (1, 2), (2, 3), (0, 2))


@pytest.fixture
def group() -> EncodedGroup:
    """Pairs decided by the first, the second, no, and the first objective."""
    return EncodedGroup(
        prompt_id="p",
        prompt=(1,),
        responses=((2, 3), (4,), (5, 6, 7), (8,)),
        response_ids=("a", "b", "c", "d"),
        scores=SCORES,
        chosen=tuple(chosen for chosen, _ in PAIRS),
        rejected=tuple(rejected for _, rejected in PAIRS),
        gap_sum=(1.0,) * 4,
        gap_l1=(1.0,) * 4,
    )


def pairs(group: EncodedGroup, logprob: float = -1.0) -> PairBatch:
    lengths = [len(response) for response in group.responses]
    mask = torch.tensor([[float(t < length) for t in range(3)] for length in lengths])
    return pair_batch(OptimizerBatch(0, (group,)), [group], logprob * mask, mask)


def objectives(*thresholds: float | None) -> tuple[Objective, ...]:
    return tuple(
        Objective(name, "", threshold)
        for name, threshold in zip(("safety", "help"), thresholds, strict=True)
    )


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        ((None, None), [0, 1, -1, 0]),
        # From 7 on safety is met, so help decides: 1 against 8 is worse, and so none did.
        ((7.0, None), [-1, 1, -1, -1]),
        ((8.0, None), [0, 1, -1, 0]),
        ((7.0, 3.0), [-1, -1, -1, -1]),
        ((None, 3.0), [0, -1, -1, 0]),
    ],
    ids=str,
)
def test_the_first_objective_that_is_higher_decides(
    group: EncodedGroup, thresholds: tuple[float | None, ...], expected: list[int]
) -> None:
    assert decided_by(pairs(group), objectives(*thresholds)).tolist() == expected


def outcome(margins: list[float]) -> PairLosses:
    values = torch.tensor(margins)
    metrics = {"rewards/margins": values, "rewards/accuracies": (values > 0).float(), "own": values}
    return PairLosses(losses=values, metrics=metrics)


def test_figures_of_pairs(group: EncodedGroup) -> None:
    figures = Figures()
    pair_figures(figures, pairs(group), outcome([4.0, -1.0, 5.0, 2.0]), objectives(None, None))
    assert figures.means() == pytest.approx(
        {
            "own": 2.5,
            "rewards/margins": 2.5,
            "rewards/accuracies": 0.75,
            "lengths/chosen": (2 + 1 + 3 + 2) / 4,
            "lengths/rejected": (1 + 3 + 1 + 3) / 4,
            "logps/chosen": -(2 + 1 + 3 + 2) / 4,
            "logps/rejected": -(1 + 3 + 1 + 3) / 4,
            "decides/safety": 0.5,
            "decides/help": 0.25,
            "rewards/margins/safety": 3.0,
            "rewards/accuracies/safety": 1.0,
            "rewards/margins/help": -1.0,
            "rewards/accuracies/help": 0.0,
        }
    )


def test_an_objective_that_decides_nothing_has_a_share_and_no_means(group: EncodedGroup) -> None:
    figures = Figures()
    pair_figures(figures, pairs(group), outcome([1.0] * 4), objectives(7.0, 3.0))
    means = figures.means()
    assert means["decides/safety"] == means["decides/help"] == 0.0
    assert not {name for name in means if name.startswith("rewards/") and name.count("/") == 2}
    assert figures.counts["rewards/margins/help"] == 0


def test_a_loss_without_rewards_has_none_by_objective(group: EncodedGroup) -> None:
    figures = Figures()
    bare = PairLosses(losses=torch.ones(4))
    pair_figures(figures, pairs(group), bare, objectives(None, None))
    assert {name for name in figures.sums if "rewards" in name} == set()


def test_figures_add_up_over_parts_of_any_size(make: SimpleNamespace) -> None:
    """Means over pairs, not means of means."""
    figures = Figures()
    figures.add("loss", torch.tensor([1.0, 2.0, 3.0]))
    figures.add("loss", torch.tensor([10.0]))
    figures.add("loss", torch.tensor([]))
    assert figures.means() == {"loss": 4.0}
    assert (figures.sums, figures.counts) == ({"loss": 16.0}, {"loss": 4.0})


def test_sums_are_double_and_without_gradient() -> None:
    figures = Figures()
    values: Any = torch.full((3,), 0.1, dtype=torch.bfloat16, requires_grad=True)
    figures.add("x", values)
    assert figures.sums["x"] == 3 * float(torch.tensor(0.1, dtype=torch.bfloat16))
