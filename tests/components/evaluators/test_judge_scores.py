"""Means, paired differences and intervals equal those worked out with numpy and scipy."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spa.api import (
    EvaluationItem,
    Evaluator,
    Message,
    Objective,
    Prompt,
    RecipeFacts,
    Response,
    Score,
    Scored,
)
from spa.components.evaluators.configs import JudgeScoresConfig
from spa.components.evaluators.judge_scores import JudgeScoresEvaluator


@pytest.fixture(scope="session")
def evaluate(
    make_scored: Callable[..., Scored], make_objectives: Callable[..., list[Objective]]
) -> Any:
    def run(prompts: Any, objectives: Any = 1, **config: Any) -> Any:
        """Rows and metrics; a prompt is a mapping from model to score vectors."""
        evaluator = JudgeScoresEvaluator(JudgeScoresConfig(**config))
        assert isinstance(evaluator, Evaluator)
        wanted = make_objectives(objectives)
        rows = []
        for place, models in enumerate(prompts):
            answers = {
                m: tuple(v if isinstance(v, Scored) else make_scored("a", v) for v in vectors)
                for m, vectors in models.items()
            }
            item = EvaluationItem(Prompt(f"p{place}", (Message("user", "?"),)), answers)
            rows.append(json.loads(json.dumps(evaluator.evaluate(item, wanted))))
        metrics = evaluator.summary(rows, wanted)
        return rows, {(metric.name, metric.model): metric for metric in metrics}

    return run


def test_means_differences_and_intervals(evaluate: Any) -> None:
    rng = np.random.default_rng(1)
    base, tuned = rng.uniform(1, 9, (2, 12, 3, 2))
    prompts = [
        {"base": b.tolist(), "round-1": t.tolist()} for b, t in zip(base, tuned, strict=True)
    ]
    _, metrics = evaluate(prompts, objectives=2, resamples=500, seed=5, confidence=0.9)
    series = {"base": base.mean(axis=1), "round-1": tuned.mean(axis=1)}
    series["round-1 - base"] = series["round-1"] - series["base"]
    assert {key for key in metrics if key[0].startswith("o")} == {
        (f"o{k}", model) for k in (0, 1) for model in series
    }
    z = stats.t.ppf(0.95, 11) * np.sqrt(12 / 11)
    for model, values in series.items():
        for k in (0, 1):
            interval = stats.bootstrap(
                (values[:, k],),
                np.mean,
                n_resamples=500,
                confidence_level=2 * stats.norm.cdf(z) - 1,
                method="percentile",
                rng=np.random.default_rng(5),
            ).confidence_interval
            metric = metrics[f"o{k}", model]
            assert metric.value == pytest.approx(values[:, k].mean())
            assert (metric.low, metric.high) == pytest.approx((interval.low, interval.high))
            assert (metric.n, metric.missing) == (12, 0)


def test_prompts_weigh_the_same_however_many_answers_they_have(evaluate: Any) -> None:
    _, metrics = evaluate([{"base": [(1,), (1,), (1,)]}, {"base": [(5,)]}])
    assert metrics["o0", "base"].value == 3.0


def test_unscored_is_missing_and_never_zero(evaluate: Any) -> None:
    rows, metrics = evaluate(
        [
            {"base": [(4,), (None,)], "round-1": [(6,)]},
            {"base": [(None,)], "round-1": [(9,)]},
            {"base": [(2,)], "round-1": []},
        ]
    )
    assert rows[0] == {
        "prompt_id": "p0",
        "models": ["base", "round-1"],
        "base:answers": 2,
        "base:o0": 4.0,
        "base:o0:unscored": 1,
        "base:characters": 12.0,
        "base:tokens": 2.0,
        "round-1:answers": 1,
        "round-1:o0": 6.0,
        "round-1:o0:unscored": 0,
        "round-1:characters": 12.0,
        "round-1:tokens": 2.0,
    }
    base, change = metrics["o0", "base"], metrics["o0", "round-1 - base"]
    assert (base.value, base.n, base.missing) == (3.0, 2, 1)
    assert (change.value, change.n, change.missing) == (2.0, 1, 2), "paired on one prompt only"
    assert (change.low, change.high) == (None, None), "one prompt has no interval"
    assert metrics["o0_unscored", "base"].value == 0.5
    assert ("o0_unscored", "round-1") not in metrics


def test_nothing_scored_has_no_value(evaluate: Any) -> None:
    _, metrics = evaluate([{"base": [(None,)]}, {"base": []}])
    metric = metrics["o0", "base"]
    assert (metric.value, metric.n, metric.missing, metric.low) == (None, 0, 2, None)


def test_no_rows_no_metrics(evaluate: Any) -> None:
    assert evaluate([])[1] == {}


def test_every_later_model_is_compared_with_the_first(evaluate: Any) -> None:
    _, metrics = evaluate([{"base": [(1,)], "round-1": [(3,)], "round-2": [(6,)]}] * 2)
    assert metrics["o0", "round-1 - base"].value == 2.0
    assert metrics["o0", "round-2 - base"].value == 5.0


def test_weighted_scores_of_the_paper(evaluate: Any) -> None:
    _, metrics = evaluate(
        [{"base": [(9, 6)], "round-1": [(9.6, 8.4)]}] * 2, objectives=2, lambdas=[5, 10]
    )
    assert metrics["HH_5", "base"].value == pytest.approx((5 * 9 + 6) / 6)
    assert metrics["HH_10", "round-1"].value == pytest.approx((10 * 9.6 + 8.4) / 11)
    assert metrics["HH_5", "round-1 - base"].value == pytest.approx((5 * 0.6 + 2.4) / 6)


def test_weighted_scores_need_both(evaluate: Any) -> None:
    _, metrics = evaluate([{"base": [(9, None)]}, {"base": [(3, 9)]}], objectives=2, lambdas=[1])
    assert (metrics["HH_1", "base"].value, metrics["HH_1", "base"].missing) == (6.0, 1)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_order_of_prompts_does_not_change_the_estimates(
    evaluate: Any, scores: Any, rng: random.Random
) -> None:
    prompts = [{"base": [(a,)], "round-1": [(b,)]} for a, b in scores]
    before = evaluate(prompts, resamples=10)[1]
    rng.shuffle(prompts)
    after = evaluate(prompts, resamples=10)[1]
    for key, metric in before.items():
        assert after[key].value == pytest.approx(metric.value)


def test_lambdas_need_two_objectives() -> None:
    config = JudgeScoresConfig(lambdas=[5])
    assert list(config.check_recipe(RecipeFacts(("a", "b")))) == []
    assert list(config.check_recipe(RecipeFacts(("a",)))) == [
        (
            "lambdas",
            "a lambda weighs two objectives against each other, and this recipe has 1. Leave"
            " `lambdas` out",
        )
    ]


AGAINST = "round-1 against base"
CHANGES = [  # of two objectives on one prompt, and what is said of it
    ((5, 5), (6, 6), "win_rate", "dominance_rate"),
    ((5, 5), (6, 4), "win_rate"),
    ((5, 5), (4, 6), "lose_rate", "priority_regret"),
    ((5, 5), (5, 6), "win_rate", "dominance_rate"),
    ((5, 5), (5, 5), "tie_rate"),
    ((5, 5), (4, 5), "lose_rate", "dominated_rate"),
]


@pytest.mark.parametrize("case", CHANGES)
def test_shares_of_prompts_by_the_order_of_objectives(evaluate: Any, case: Any) -> None:
    before, after, *holds = case
    _, metrics = evaluate([{"base": [before], "round-1": [after]}] * 3, objectives=2)
    shares = {name for name, model in metrics if model == AGAINST}
    assert shares == {
        "win_rate", "tie_rate", "lose_rate", "priority_regret", "dominance_rate", "dominated_rate"
    }  # fmt: skip
    assert {name for name in shares if metrics[name, AGAINST].value == 1.0} == set(holds)


def test_shares_have_the_interval_of_wilson_and_count_what_is_missing(evaluate: Any) -> None:
    better, worse, unscored = ((7, 7), (4, 9), (None, 9))
    prompts = [{"base": [(5, 5)], "round-1": [v]} for v in [better] * 9 + [worse] * 2 + [unscored]]
    _, metrics = evaluate(prompts, objectives=2, confidence=0.9)
    found = metrics["priority_regret", AGAINST]
    expected = stats.binomtest(2, 11).proportion_ci(0.9, method="wilson")
    assert (found.value, found.n, found.missing) == (2 / 11, 11, 1)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_answers_are_averaged_before_they_are_compared(evaluate: Any) -> None:
    prompt = {"base": [(4,), (6,)], "round-1": [(9,), (2,), (4,)]}
    _, metrics = evaluate([prompt] * 2)
    assert metrics["tie_rate", AGAINST].value == 1.0
    assert ("priority_regret", AGAINST) not in metrics, "one objective has no lower one"


def test_a_tolerance_makes_ties_and_hides_no_regret_beyond_it(evaluate: Any) -> None:
    prompts = [{"base": [(5, 5)], "round-1": [(4.9, 6)]}, {"base": [(5, 5)], "round-1": [(4, 6)]}]
    _, exact = evaluate(prompts, objectives=2)
    assert exact["priority_regret", AGAINST].value == 1.0
    _, coarse = evaluate(prompts, objectives=2, tie_tolerance=0.5)
    assert coarse["priority_regret", AGAINST].value == 0.5
    assert coarse["win_rate", AGAINST].value == 0.5


def answer(text: str, tokens: int) -> Scored:
    return Scored(Response(text, token_ids=(1,) * tokens), {"o0": Score(1.0)})


def test_lengths_are_paired_by_prompt(evaluate: Any) -> None:
    prompts = [
        {"base": [answer("a" * 10, 4)], "round-1": [answer("a" * 14, 6)]},
        {"base": [answer("a" * 30, 9)], "round-1": [answer("a" * 32, 10), answer("a" * 40, 14)]},
    ]
    _, metrics = evaluate(prompts)
    characters = metrics["length_characters", "round-1 - base"]
    assert (characters.value, characters.low, characters.high) == (5.0, 4.0, 6.0)
    assert metrics["length_tokens", "round-1 - base"].value == 2.5
    assert ("length_tokens", "base") not in metrics


def test_tokens_that_the_model_does_not_tell_are_not_counted(evaluate: Any) -> None:
    prompt = {"base": [answer("ab", 0)], "round-1": [answer("abc", 0)]}
    _, metrics = evaluate([prompt] * 2)
    assert metrics["length_characters", "round-1 - base"].value == 1.0
    assert not any(name == "length_tokens" for name, _ in metrics)
