"""What is said of a training whose history shows that its result should not be trusted."""

from __future__ import annotations

import math

import pytest

from spa.training.doubts import data_doubts, history_doubts
from spa.training.encoding import Encoding

UNCHANGED = "training did not change the weights: what was saved behaves like the model before it"


def entry(norm: float = 1.0, a_token: float = -1.0, length: float = 10.0) -> dict[str, float]:
    return {"grad_norm": norm, "logps/chosen": a_token * length, "lengths/chosen": length}


def course(values: list[float]) -> list[dict[str, float]]:
    return [entry(a_token=value) for value in values]


def test_nothing_is_said_of_a_steady_training() -> None:
    assert history_doubts(course([-1.0] * 30), unchanged=False) == []
    assert history_doubts(course([-2.0 + 0.05 * i for i in range(30)]), unchanged=False) == []


def test_steps_without_gradient_are_counted() -> None:
    history = [entry(0.0), entry(1.0), entry(0.0)]
    assert history_doubts(history, unchanged=False) == [
        "the gradient was 0 in 2 of 3 steps, so nothing was learned in them"
    ]


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_gradients_that_are_not_finite_are_counted(norm: float) -> None:
    assert history_doubts([entry(), entry(norm)], unchanged=False) == [
        "the gradient was not finite in 1 of 2 steps: "
        "lower train.learning_rate or set train.dtype: float32"
    ]


def test_weights_that_did_not_change() -> None:
    assert history_doubts([entry()], unchanged=True) == [UNCHANGED]
    assert history_doubts([], unchanged=True) == [UNCHANGED]


def test_chosen_responses_that_are_unlearned() -> None:
    falling = course([-1.0, *[-1.5] * 9, *[-2.0] * 8, -3.4, -3.6])
    assert history_doubts(falling, unchanged=False) == [
        # The first two of 20 steps have mean -1.25, the last two -3.5.
        "chosen responses lost 2.2 nats a token in log-probability: the model unlearned them with "
        "the rejected ones. Lower train.learning_rate or train.epochs, or use a loss with a "
        "likelihood term (cpo, orpo)"
    ]


def test_a_fall_of_a_nat_is_not_yet_one() -> None:
    assert history_doubts(course([-1.0, -2.0]), unchanged=False) == []
    assert len(history_doubts(course([-1.0, -2.01]), unchanged=False)) == 1


def test_a_token_counts_not_a_response() -> None:
    """Batches of longer responses have lower sums, and that is no fall."""
    history = [entry(a_token=-1.0, length=5), entry(a_token=-1.0, length=500)]
    assert history_doubts(history, unchanged=False) == []


def test_too_short_a_history_shows_no_fall() -> None:
    assert history_doubts(course([-9.0]), unchanged=False) == []
    assert history_doubts([{"grad_norm": 1.0}, {"grad_norm": 1.0}], unchanged=False) == []


def test_a_single_bad_step_in_the_middle_is_no_fall() -> None:
    assert history_doubts(course([-1.0] * 10 + [-9.0] + [-1.0] * 10), unchanged=False) == []


def test_what_the_data_did_not_allow() -> None:
    assert data_doubts(Encoding(())) == []
    assert data_doubts(Encoding((), {"empty_response": 2, "longer_than_max_length": 1}, 3)) == [
        "pairs left out of training: 2 empty_response, 1 longer_than_max_length",
        "3 responses came without token ids and were tokenised from their text, which may differ "
        "from what the model produced",
    ]
