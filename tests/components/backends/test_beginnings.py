"""Which beginnings are worth sharing."""

from __future__ import annotations

import random

import pytest

from spa.components.backends.beginnings import MIN_SAVED, shared_beginnings


def test_a_header_for_all_and_a_longer_beginning_for_those_that_have_one() -> None:
    header = [1] * 100
    system = [[*header, *[2] * 90], [*header, *[3] * 90]]
    prompts = [[*each, 10 + n, 5, 5] for each in system for n in range(3)]
    prompts += [[*header, 4, 4], [9, 9]]
    assert shared_beginnings(prompts) == [(100, 190)] * 6 + [(100,), ()]


@pytest.mark.parametrize(("saved", "expected"), [(MIN_SAVED, (MIN_SAVED,)), (MIN_SAVED - 1, ())])
def test_short_ones_are_not_worth_a_pass(saved: int, expected: tuple[int, ...]) -> None:
    prompts = [[1] * saved + [2, 3], [1] * saved + [4]]
    assert shared_beginnings(prompts) == [expected] * 2


def test_a_prompt_that_is_the_beginning_of_another_keeps_a_token() -> None:
    prompts = [[1] * 200, [1] * 200, [1] * 300]
    assert shared_beginnings(prompts) == [(199,), (199,), (199,)]


def test_nothing_is_shared_that_differs_and_a_token_is_left() -> None:
    generator = random.Random(0)
    heads = [[generator.randrange(3) for _ in range(80)] for _ in range(4)]
    prompts = [
        [t for _ in range(generator.randrange(1, 4)) for t in generator.choice(heads)]
        for _ in range(50)
    ]
    found = shared_beginnings(prompts)
    assert any(found)
    assert max(map(len, found)) > 1
    for prompt, lengths in zip(prompts, found, strict=True):
        assert list(lengths) == sorted(set(lengths))
        for length in lengths:
            assert length < len(prompt)
            assert sum(other[:length] == prompt[:length] for other in prompts) > 1


def test_no_prompts_and_thousands_that_branch_everywhere() -> None:
    assert shared_beginnings([]) == []
    assert shared_beginnings([[1, 2]]) == [()]
    assert len(shared_beginnings([[1] * n + [2, 3] for n in range(1000)])) == 1000
