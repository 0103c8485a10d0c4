"""Forward passes within the budget, shared among processes so that each pair counts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.training.encoding import EncodedGroup
from spa.training.layout import Part, whole
from spa.training.micro_batches import Budget, MicroBatch, Turn, plan_micro_batches, share


def group(name: str, prompt: int, responses: Sequence[int]) -> EncodedGroup:
    rows = len(responses)
    return EncodedGroup(
        prompt_id=name,
        prompt=(1,) * prompt,
        responses=tuple((2,) * length for length in responses),
        response_ids=tuple(map(str, range(rows))),
        scores=((0.0,),) * rows,
        chosen=(0,) * (rows - 1),
        rejected=tuple(range(1, rows)),
        gap_sum=(1.0,) * (rows - 1),
        gap_l1=(1.0,) * (rows - 1),
    )


@st.composite
def many_groups(draw: Any) -> list[EncodedGroup]:
    lengths = st.integers(1, 20)
    shapes = draw(
        st.lists(
            st.tuples(lengths, st.lists(lengths, min_size=2, max_size=6)), min_size=1, max_size=8
        )
    )
    return [group(f"p{i}", prompt, rows) for i, (prompt, rows) in enumerate(shapes)]


budgets = st.builds(
    Budget,
    tokens=st.integers(1, 150),
    groups=st.none() | st.integers(1, 4),
    packed=st.booleans(),
    split=st.booleans(),
)


def names(micro_batches: Sequence[MicroBatch]) -> list[list[str]]:
    return [[group.prompt_id for group in each.groups] for each in micro_batches]


def places(micro_batch: MicroBatch) -> list[tuple[str, int]]:
    return [
        (part.group.prompt_id, place)
        for parts in micro_batch.passes
        for part in parts
        for place in part.places
    ]


def test_groups_come_longest_first_until_the_budget_is_full() -> None:
    """Packed tokens: a 9, b 12, c 8, d 13; b and d have the longest sequences."""
    groups = [
        group("a", 3, [2, 4]),
        group("b", 2, [8, 2]),
        group("c", 4, [2, 2]),
        group("d", 5, [6, 2]),
    ]
    assert names(plan_micro_batches(groups, Budget(25))) == [["d", "b"], ["a", "c"]]
    assert names(plan_micro_batches(groups, Budget(24))) == [["d"], ["b", "a"], ["c"]]
    assert names(plan_micro_batches(groups, Budget(42))) == [["d", "b", "a", "c"]]


def test_at_most_so_many_groups_come_together() -> None:
    groups = [group(str(i), 2, [2, 2]) for i in range(5)]
    assert list(map(len, names(plan_micro_batches(groups, Budget(1000, 2))))) == [2, 2, 1]
    assert list(map(len, names(plan_micro_batches(groups, Budget(1000))))) == [5]


def test_padded_rows_cost_as_much_as_the_longest() -> None:
    parts = whole([group("a", 10, [5, 1, 1]), group("b", 2, [3, 3])])
    assert Budget(1, packed=True).cost(parts) == 10 + 5 + 1 + 1 + 2 + 3 + 3
    assert Budget(1, packed=False).cost(parts) == 5 * 15
    assert Budget(1, packed=False).cost(parts[1:]) == 2 * 5


def test_a_group_larger_than_the_budget_goes_alone_and_whole() -> None:
    groups = [group("large", 10, [10, 10, 10]), group("small", 1, [1, 1])]
    large, small = plan_micro_batches(groups, Budget(20))
    assert large.passes == ((Part(groups[0], (0, 1, 2)),),)
    assert small.passes == ((Part(groups[1], (0, 1)),),)


def test_a_group_larger_than_the_budget_may_be_split() -> None:
    large = group("large", 4, [3, 3, 9, 2, 2])
    (found,) = plan_micro_batches([large], Budget(10, split=True))
    # The third response does not fit by itself, and still goes through whole.
    assert [[part.places for part in parts] for parts in found.passes] == [
        [(0, 1)],
        [(2,)],
        [(3, 4)],
    ]
    assert found.groups == (large,)
    assert found.pairs == 4


@given(many_groups(), budgets)
def test_every_response_goes_through_once_and_in_order(
    groups: list[EncodedGroup], budget: Budget
) -> None:
    micro_batches = plan_micro_batches(groups, budget)
    found = [name for each in names(micro_batches) for name in each]
    assert sorted(found) == sorted(group.prompt_id for group in groups)
    assert sum(each.pairs for each in micro_batches) == sum(len(g.chosen) for g in groups)
    for each in micro_batches:
        assert places(each) == [
            (group.prompt_id, place)
            for group in each.groups
            for place in range(len(group.responses))
        ]


@given(many_groups(), budgets)
def test_the_budget_is_kept_wherever_that_is_possible(
    groups: list[EncodedGroup], budget: Budget
) -> None:
    for each in plan_micro_batches(groups, budget):
        assert budget.groups is None or len(each.groups) <= budget.groups
        for parts in each.passes:
            if budget.cost(parts) > budget.tokens:
                (part,) = parts
                assert len(part.places) == 1 or not budget.split
        if len(each.passes) > 1:  # only where it must be
            assert len(each.groups) == 1
            assert budget.split
            assert budget.cost(whole(each.groups)) > budget.tokens
            for (first,), (second,) in zip(each.passes, each.passes[1:], strict=False):
                more = Part(first.group, (*first.places, second.places[0]))
                assert budget.cost([more]) > budget.tokens


@given(many_groups(), budgets)
def test_the_longest_sequences_come_first(groups: list[EncodedGroup], budget: Budget) -> None:
    """So memory runs out in the first pass or not at all, and padding is little."""
    lengths = [
        len(group.prompt) + max(map(len, group.responses))
        for each in plan_micro_batches(groups, budget)
        for group in each.groups
    ]
    assert lengths == sorted(lengths, reverse=True)


@given(many_groups(), budgets, st.integers(1, 5))
def test_processes_share_the_work(
    groups: list[EncodedGroup], budget: Budget, processes: int
) -> None:
    micro_batches = plan_micro_batches(groups, budget)
    turns: list[list[Turn]] = [share(micro_batches, processes, each) for each in range(processes)]
    counted = Counter(
        group.prompt_id
        for mine in turns
        for turn in mine
        if turn.counts
        for group in turn.work.groups
    )
    assert counted == Counter(group.prompt_id for group in groups)
    for now in zip(*turns, strict=True):  # as many turns in each process
        assert len({len(turn.work.passes) for turn in now}) == 1
        assert now[0].counts  # no turn is for nothing
        for turn in now:
            assert turn.work in [other.work for other in now if other.counts]


def test_one_process_does_everything_once() -> None:
    micro_batches = plan_micro_batches([group(str(i), 2, [2, i + 1]) for i in range(4)], Budget(1))
    turns = share(micro_batches, 1, 0)
    assert all(turn.counts for turn in turns)
    assert sorted(names([turn.work for turn in turns])) == sorted(names(micro_batches))


def test_a_turn_is_of_like_cost_for_all() -> None:
    groups = [group(str(length), length, [1, 1]) for length in (3, 50, 4, 49)]
    micro_batches = plan_micro_batches(groups, Budget(1))
    turns = [[turn.work.groups[0].prompt_id for turn in share(micro_batches, 2, p)] for p in (0, 1)]
    assert list(zip(*turns, strict=True)) == [("50", "49"), ("4", "3")]


def test_the_rest_repeats_what_does_not_count(make: SimpleNamespace) -> None:
    micro_batches = plan_micro_batches([group(str(i), 5 - i, [1, 1]) for i in range(3)], Budget(1))
    second = share(micro_batches, 2, 1)
    assert [(turn.work.groups[0].prompt_id, turn.counts) for turn in second] == [
        ("1", True),
        ("2", False),
    ]


@pytest.mark.parametrize("processes", [1, 3])
def test_no_work_gives_no_turns(processes: int) -> None:
    assert share([], processes, 0) == []
