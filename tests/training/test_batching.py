"""Optimizer batches: whole groups, deterministic, with the mean gap of all of their pairs."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.training.batching import OptimizerBatch, plan_batches
from spa.training.encoding import EncodedGroup


def group(name: str, pairs: int) -> EncodedGroup:
    gaps = tuple(float(i) for i in range(pairs))
    return EncodedGroup(
        prompt_id=name,
        prompt=(1,),
        responses=((2,), (3,)),
        response_ids=("a", "b"),
        scores=((2.0,), (1.0,)),
        chosen=(0,) * pairs,
        rejected=(1,) * pairs,
        gap_sum=gaps,
        gap_l1=tuple(2 * gap + 1 for gap in gaps),
    )


sizes = st.lists(st.integers(1, 20), min_size=1, max_size=30)


@given(sizes=sizes, batch_pairs=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_every_group_is_in_each_epoch_once_and_batches_are_near_the_wanted_size(
    sizes: list[int], batch_pairs: int, seed: int
) -> None:
    groups = [group(f"p{i}", size) for i, size in enumerate(sizes)]
    batches = plan_batches(groups, batch_pairs, 2, seed)
    for epoch in (0, 1):
        names = [g.prompt_id for b in batches if b.epoch == epoch for g in b.groups]
        assert sorted(names) == sorted(g.prompt_id for g in groups)
    for batch in batches:
        assert batch.groups
        # One large group, or an overshoot by half of the group added last; then a joined rest.
        filled = max(*sizes, batch_pairs + max(sizes) / 2)
        assert batch.pairs <= filled + batch_pairs / 2
    assert batches == plan_batches(groups, batch_pairs, 2, seed)


def test_epochs_are_shuffled_anew_and_by_the_seed() -> None:
    groups = [group(f"p{i}", 2) for i in range(20)]

    def order(seed: int, epoch: int) -> list[str]:
        plan = plan_batches(groups, 4, 2, seed)
        return [g.prompt_id for b in plan if b.epoch == epoch for g in b.groups]

    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_a_group_is_never_split() -> None:
    (batch,) = plan_batches([group("p", 50)], 4, 1, 0)
    assert batch.pairs == 50


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([4, 4, 4], [4, 4, 4]),
        ([4, 4, 1], [4, 5]),
        ([4, 4, 2], [4, 4, 2]),
        ([1], [1]),
        ([3, 3], [3, 3]),
    ],
)
def test_a_small_rest_joins_the_batch_before(counts: list[int], expected: list[int]) -> None:
    from spa.training.batching import _pack

    parts = _pack([group(str(i), n) for i, n in enumerate(counts)], 4)
    assert [sum(len(g.chosen) for g in part) for part in parts] == expected


@pytest.mark.parametrize(("epochs", "expected"), [(0.5, 5), (1, 10), (1.25, 13), (0.01, 1)])
def test_partial_epochs_take_a_share_of_the_groups(epochs: float, expected: int) -> None:
    groups = [group(f"p{i}", 1) for i in range(10)]
    assert sum(b.pairs for b in plan_batches(groups, 2, epochs, 0)) == expected


def test_mean_gaps_are_over_all_pairs_not_over_groups() -> None:
    batch = OptimizerBatch(0, (group("a", 1), group("b", 3)))
    assert batch.mean_gap_sum == pytest.approx((0 + 0 + 1 + 2) / 4)
    assert batch.mean_gap_l1 == pytest.approx((1 + 1 + 3 + 5) / 4)


def test_trap_11_the_mean_gap_a_loss_sees_is_that_of_the_optimizer_batch(
    make: SimpleNamespace, tokenizer: Any
) -> None:
    import torch

    from spa.training.assembly import pair_batch
    from spa.training.encoding import encode

    groups = encode(make.random_groups(4), make.objectives, tokenizer).groups
    batch = OptimizerBatch(0, groups)
    part = groups[1:3]
    rows = sum(len(g.responses) for g in part)
    made = pair_batch(batch, part, torch.zeros(rows, 3), torch.ones(rows, 3))
    assert made.mean_gap_sum == batch.mean_gap_sum
    assert made.gap_sum.tolist() == [gap for g in part for gap in g.gap_sum]
    assert made.scores.tolist() == [list(s) for g in part for s in g.scores]
    first = len(part[0].responses)
    assert made.chosen.tolist() == [*part[0].chosen, *(first + c for c in part[1].chosen)]
    assert made.rejected.tolist() == [*part[0].rejected, *(first + r for r in part[1].rejected)]
    assert made.reference_logprobs is made.collision_logprobs is None
    passed = torch.full((rows, 3), -0.5)
    made = pair_batch(
        batch, part, torch.zeros(rows, 3), torch.ones(rows, 3), collision_logprobs=passed
    )
    assert made.collision_logprobs is passed


@st.composite
def real_groups(draw: Any) -> list[EncodedGroup]:
    """Groups whose responses, scores and gaps can be told from one another."""
    made = []
    for number in range(draw(st.integers(1, 6))):
        rows = draw(st.integers(2, 5))
        every = [(a, b) for a in range(rows) for b in range(rows) if a < b]
        pairs = draw(st.lists(st.sampled_from(every), min_size=1, unique=True))
        used = {row for pair in pairs for row in pair}
        place = {old: new for new, old in enumerate(sorted(used))}
        made.append(
            EncodedGroup(
                prompt_id=f"p{number}",
                prompt=(number,),
                responses=tuple((100 * number + row,) for row in sorted(used)),
                response_ids=tuple(f"p{number}/{row}" for row in sorted(used)),
                scores=tuple((float(-row), 1.0) for row in sorted(used)),
                chosen=tuple(place[a] for a, _ in pairs),
                rejected=tuple(place[b] for _, b in pairs),
                gap_sum=tuple(float(10 * a + b) for a, b in pairs),
                gap_l1=tuple(float(10 * a + b + 1) for a, b in pairs),
            )
        )
    return made


def facts(groups: Iterable[EncodedGroup]) -> list[tuple[Any, ...]]:
    """Each pair with everything that belongs to it."""
    return [
        (
            g.prompt_id,
            g.prompt,
            *((g.responses[row], g.response_ids[row], g.scores[row]) for row in (a, b)),
            gap_sum,
            gap_l1,
        )
        for g in groups
        for a, b, gap_sum, gap_l1 in zip(g.chosen, g.rejected, g.gap_sum, g.gap_l1, strict=True)
    ]


@given(
    groups=real_groups(),
    batch_pairs=st.integers(1, 12),
    seed=st.integers(0, 999),
    whole=st.booleans(),
)
def test_single_pairs_keep_what_belongs_to_them(
    groups: list[EncodedGroup], batch_pairs: int, seed: int, whole: bool
) -> None:
    batches = plan_batches(groups, batch_pairs, 2, seed, singly=not whole)
    for epoch in (0, 1):
        seen = facts(g for b in batches if b.epoch == epoch for g in b.groups)
        assert sorted(seen) == sorted(facts(groups))
    for batch in batches:
        names = [g.prompt_id for g in batch.groups]
        assert len(names) == len(set(names))  # pairs of one prompt share their responses
        for g in batch.groups:
            assert len(set(g.response_ids)) == len(g.response_ids) == len(g.responses)
            assert {*g.chosen, *g.rejected} == set(range(len(g.responses)))  # none to no purpose
        gaps = [fact[-2:] for fact in facts(batch.groups)]
        assert batch.mean_gap_sum == pytest.approx(sum(a for a, _ in gaps) / len(gaps))
        assert batch.mean_gap_l1 == pytest.approx(sum(b for _, b in gaps) / len(gaps))


@given(groups=real_groups(), batch_pairs=st.integers(1, 12), seed=st.integers(0, 999))
def test_batches_of_single_pairs_have_the_exact_size(
    groups: list[EncodedGroup], batch_pairs: int, seed: int
) -> None:
    total = sum(len(g.chosen) for g in groups)
    sizes = [b.pairs for b in plan_batches(groups, batch_pairs, 1, seed, singly=True)]
    assert sum(sizes) == total
    assert all(size == batch_pairs for size in sizes[:-1])
    # A rest of less than half a batch joins the one before.
    assert batch_pairs / 2 <= sizes[-1] < 1.5 * batch_pairs or len(sizes) == 1


def test_single_pairs_are_shuffled_by_the_seed_and_anew_in_each_epoch() -> None:
    groups = [group(f"p{i}", 6) for i in range(3)]

    def order(seed: int, epoch: int) -> list[tuple[Any, ...]]:
        plan = plan_batches(groups, 2, 2, seed, singly=True)
        return facts(g for b in plan if b.epoch == epoch for g in b.groups)

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    prompts = [fact[0] for fact in order(0, 0)]
    assert prompts != sorted(prompts)  # not prompt after prompt


def test_pairs_of_one_prompt_share_their_responses() -> None:
    """All pairs of three responses in one batch: three responses, not six."""
    three = EncodedGroup(
        prompt_id="p",
        prompt=(1,),
        responses=((2,), (3,), (4,)),
        response_ids=("a", "b", "c"),
        scores=((3.0,), (2.0,), (1.0,)),
        chosen=(0, 0, 1),
        rejected=(1, 2, 2),
        gap_sum=(1.0, 2.0, 1.0),
        gap_l1=(1.0, 2.0, 1.0),
    )
    (batch,) = plan_batches([three], 3, 1, 0, singly=True)
    (union,) = batch.groups
    assert sorted(union.responses) == [(2,), (3,), (4,)]
    assert sorted(facts([union])) == sorted(facts([three]))


def test_a_partial_epoch_takes_a_share_of_the_pairs() -> None:
    groups = [group("large", 19), group("small", 1)]
    assert sum(b.pairs for b in plan_batches(groups, 4, 0.5, 0, singly=True)) == 10
