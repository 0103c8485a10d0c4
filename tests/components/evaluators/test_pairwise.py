"""Both orders are asked; disagreement is a tie, and what cannot be asked is unscored."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from spa.api import (
    EvaluationItem,
    Evaluator,
    LabelResult,
    Message,
    Objective,
    Prompt,
    RequestError,
    RequestFailure,
    Response,
    Scored,
)
from spa.components.evaluators.configs import PairwiseConfig
from spa.components.evaluators.pairwise import PairwiseEvaluator

OBJECTIVES = [Objective("honesty", "Be honest.\n"), Objective("helpfulness", "Help.")]
A, B = (0.7, 0.2), (0.2, 0.7)
EVEN, LOW = (0.45, 0.45), (0.2, 0.1)


def result(probabilities: Any) -> LabelResult:
    return LabelResult(
        tuple(math.log(p) for p in probabilities), sum(probabilities), prompt_tokens=9
    )


def item(**answers: Any) -> EvaluationItem:
    """Answers of models by text; ``round_1`` stands for round-1."""
    return EvaluationItem(
        Prompt("p", (Message("user", "Why {answer_1}?"),)),
        {
            model.replace("_", "-"): tuple(Scored(Response(text), {}) for text in texts)
            for model, texts in answers.items()
        },
    )


def run(
    drive: Callable[..., tuple[list[Any], Any]],
    evaluation: EvaluationItem,
    *orders: Any,
    **config: Any,
) -> Any:
    """Requests and row; every element of ``orders`` is the label probabilities of one request."""
    evaluator = PairwiseEvaluator(PairwiseConfig(**config))
    assert isinstance(evaluator, Evaluator)
    results = [[result(order) for order in orders]] if orders else []
    asked, row = drive(evaluator.evaluate(evaluation, OBJECTIVES), *results)
    return (asked[0] if asked else []), json.loads(json.dumps(row))


PLAIN = {"base": ["old"], "round_1": ["newer"]}


@pytest.mark.parametrize(
    ("orders", "outcome", "flips"),
    [
        ((B, A), "wins", 0),
        ((A, B), "losses", 0),
        ((A, A), "ties", 1),
        ((B, B), "ties", 1),
        ((EVEN, A), "ties", 0),
        ((B, EVEN), "ties", 0),
        ((EVEN, EVEN), "ties", 0),
        ((LOW, A), "unscored", 0),
        ((B, LOW), "unscored", 0),
    ],
)
def test_outcomes(
    drive: Callable[..., tuple[list[Any], Any]], orders: Any, outcome: Any, flips: Any
) -> None:
    _, row = run(drive, item(**PLAIN), *orders)
    expected = dict.fromkeys(("wins", "ties", "losses", "unscored", "identical"), 0)
    expected |= {outcome: 1, "flips": flips}
    assert row == {
        "prompt_id": "p",
        "models": ["base", "round-1"],
        "round-1:length_difference": 2.0,
        **{f"round-1:{name}": count for name, count in expected.items()},
    }


@pytest.mark.parametrize("orders", [(x, y) for x in (A, B, EVEN, LOW) for y in (A, B, EVEN, LOW)])
def test_swapping_the_models_swaps_wins_and_losses(
    drive: Callable[..., tuple[list[Any], Any]], orders: Any
) -> None:
    _, row = run(drive, item(base=["x"], tuned=["y"]), *orders)
    _, swapped = run(drive, item(base=["y"], tuned=["x"]), *orders[::-1])
    names = {"wins": "losses", "losses": "wins"}
    for name in ("wins", "ties", "losses", "flips", "unscored"):
        assert row[f"tuned:{name}"] == swapped[f"tuned:{names.get(name, name)}"]


def test_requests_are_in_both_orders(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    template = "{label_1}{label_2}{criteria}|{prompt}|{answer_1}|{answer_2}"
    evaluation = item(base=["old {prompt}"], round_1=["new"])
    asked, _ = run(drive, evaluation, B, A, template=template)
    criteria = "1. honesty: Be honest.\n2. helpfulness: Help."
    assert [request.messages[0].content for request in asked] == [
        f"12{criteria}|Why {{answer_1}}?|old {{prompt}}|new",
        f"12{criteria}|Why {{answer_1}}?|new|old {{prompt}}",
    ]
    assert {(request.labels, request.prefill) for request in asked} == {
        (("1", "2"), "Better answer: ")
    }


def test_each_objective_by_itself(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    asked, row = run(drive, item(**PLAIN), B, A, A, B, per_objective=True)
    assert len(asked) == 4
    assert "Help." not in asked[0].messages[0].content
    assert "Be honest." not in asked[3].messages[0].content
    assert (row["round-1:honesty:wins"], row["round-1:helpfulness:losses"]) == (1, 1)
    metrics = PairwiseEvaluator(PairwiseConfig(per_objective=True)).summary([row], OBJECTIVES)
    assert [m.name for m in metrics] == [
        *(f"{o.name}:{rate}_rate" for o in OBJECTIVES for rate in ("win", "tie", "lose", "flip")),
        "length_difference",
    ]


def test_every_later_model_and_all_answers_are_compared(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    evaluation = item(base=["a", "b"], round_1=["c", "d"], round_2=["e"])
    asked, row = run(drive, evaluation, B, A, B, A, A, B)
    assert len(asked) == 6
    assert (row["round-1:wins"], row["round-2:losses"]) == (2, 1)


def test_equal_texts_are_a_tie_that_is_not_asked(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    asked, row = run(drive, item(base=["same"], round_1=["same"]))
    assert asked == []
    assert (row["round-1:ties"], row["round-1:identical"], row["round-1:flips"]) == (1, 1, 0)
    metrics = PairwiseEvaluator(PairwiseConfig()).summary([row], OBJECTIVES)
    flip = next(m for m in metrics if m.name == "flip_rate")
    assert (flip.value, flip.n, flip.missing) == (None, 0, 0)


def test_a_request_that_fails_is_unscored_and_stays_in_the_denominator(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    evaluator = PairwiseEvaluator(PairwiseConfig())
    error = RequestError(RequestFailure("too_long", "..."))
    _, row = drive(evaluator.evaluate(item(**PLAIN), OBJECTIVES), error)
    assert (row["round-1:unscored"], row["failure"]) == (1, "too_long")
    win = evaluator.summary([row], OBJECTIVES)[0]
    assert (win.name, win.value, win.n, win.missing) == ("win_rate", None, 0, 1)


def test_a_model_without_answers_is_missing(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    _, row = run(drive, item(base=["a"], round_1=[]))
    metrics = PairwiseEvaluator(PairwiseConfig()).summary([row], OBJECTIVES)
    assert {(m.value, m.n, m.missing) for m in metrics} == {(None, 0, 1)}


def test_rates_equal_those_counted_by_hand(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    outcomes = [(B, A)] * 5 + [(A, B)] * 2 + [(A, A)] * 2 + [(EVEN, EVEN)] + [(LOW, A)]
    rows = [run(drive, item(**PLAIN), *orders)[1] for orders in outcomes]
    rows.append(run(drive, item(base=["same"], round_1=["same"]))[1])
    metrics = {m.name: m for m in PairwiseEvaluator(PairwiseConfig()).summary(rows, OBJECTIVES)}
    scored = 11
    expected = {"win_rate": 5 / scored, "tie_rate": 4 / scored, "lose_rate": 2 / scored}
    for name, value in expected.items():
        assert metrics[name].value == pytest.approx(value)
        assert (metrics[name].n, metrics[name].missing, metrics[name].model) == (11, 1, "round-1")
        assert 0 <= metrics[name].low < value < metrics[name].high <= 1
    assert metrics["flip_rate"].value == pytest.approx(2 / 10)
    assert (metrics["flip_rate"].n, metrics["flip_rate"].missing) == (10, 1)
    difference = metrics["length_difference"]
    assert difference.value == pytest.approx(np.mean([2] * 11 + [0]))
    assert (difference.model, difference.n) == ("round-1 - base", 12)


def test_settings_that_are_wrong() -> None:
    with pytest.raises(ValidationError, match="labels: the two must differ"):
        PairwiseConfig(labels=("A", "A"))
    with pytest.raises(ValidationError, match=r"{answer_1} and {answer_2} must be in it"):
        PairwiseConfig(template="{prompt}")


def test_it_tells_ahead_what_it_will_ask(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    settings = {"labels": ("X", "Y"), "prefill": "Better: "}
    asked, _ = run(drive, item(**PLAIN), A, B, **settings)
    (told,) = PairwiseEvaluator(PairwiseConfig(**settings)).will_ask()
    assert [replace(told, messages=request.messages) for request in asked] == asked
