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

from spa.api import EvaluationItem, Evaluator, Message, Objective, Prompt, RecipeFacts, Scored
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
                m: tuple(make_scored("a", v) for v in vectors) for m, vectors in models.items()
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
    assert set(metrics) == {(f"o{k}", model) for k in (0, 1) for model in series}
    for model, values in series.items():
        for k in (0, 1):
            interval = stats.bootstrap(
                (values[:, k],),
                np.mean,
                n_resamples=500,
                confidence_level=0.9,
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
        "round-1:answers": 1,
        "round-1:o0": 6.0,
        "round-1:o0:unscored": 0,
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
