"""The losses that decide by scores which response is preferred: safedpo and reward-soup."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from loss_reference import make_batch, with_logprobs, with_values
from pydantic import ValidationError

from spa.api import PairBatch, RecipeFacts
from spa.components.losses.configs import DpoConfig, SimpoConfig
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.orientation import turned
from spa.components.losses.reward_soup import RewardSoupLoss, composite_margins
from spa.components.losses.safedpo import SafeDpoLoss
from spa.components.losses.score_configs import RewardSoupConfig, SafeDpoConfig
from spa.components.losses.simpo import SimpoLoss

TWO = RecipeFacts(objectives=("harmlessness", "helpfulness"))


def safedpo(**values: Any) -> SafeDpoLoss:
    return SafeDpoLoss(SafeDpoConfig(**values))


def soup(*weights: float, **values: Any) -> RewardSoupLoss:
    return RewardSoupLoss(RewardSoupConfig(weights=weights, **values))


def scored(*scores: tuple[float, ...]) -> PairBatch:
    """The usual batch with other scores: pairs are (0, 1), (0, 2), (1, 2) and (3, 0)."""
    return with_values(make_batch(), scores=torch.tensor(scores, dtype=torch.float64))


def test_turning_exchanges_chosen_and_rejected_and_nothing_else() -> None:
    b = make_batch()
    other = turned(b, torch.tensor([True, False, False, True]))
    assert other.chosen.tolist() == [1, 0, 1, 0]
    assert other.rejected.tolist() == [0, 2, 2, 3]
    assert other.gap_sum is b.gap_sum
    assert other.logprobs is b.logprobs


def test_safedpo_without_unsafe_responses_is_dpo() -> None:
    b = make_batch()
    result = safedpo(threshold=0.0, beta=0.3)(b)
    torch.testing.assert_close(result.losses, DpoLoss(DpoConfig(beta=0.3))(b).losses)
    assert result.metrics["safety/turned"].tolist() == [0, 0, 0, 0]
    assert result.metrics["safety/left_out"].tolist() == [0, 0, 0, 0]


def test_safedpo_orders_pairs_by_safety_and_leaves_out_the_hopeless() -> None:
    """Safe are 1 and 3: pair (0, 1) is turned, (0, 2) left out, (1, 2) and (3, 0) widened."""
    b = scored((1.0,), (6.0,), (2.0,), (7.0,))
    result = safedpo(threshold=5.0, beta=0.3, delta=0)(b)
    assert result.metrics["safety/turned"].tolist() == [1, 0, 0, 0]
    assert result.metrics["safety/left_out"].tolist() == [0, 1, 0, 0]
    plain = DpoLoss(DpoConfig(beta=0.3))
    upright, upside_down = plain(b).losses, plain(turned(b, torch.ones(4, dtype=torch.bool))).losses
    torch.testing.assert_close(result.losses[[2, 3]], upright[[2, 3]])
    torch.testing.assert_close(result.losses[0], upside_down[0])
    assert result.losses[1] == 0
    wide = safedpo(threshold=5.0, beta=0.3, delta=2.0)(b).losses
    assert (wide > result.losses).tolist() == [True, False, True, True]
    assert wide[1] == 0


def test_safedpo_counts_a_score_at_the_threshold_as_safe() -> None:
    b = scored((5.0,), (5.0,), (5.0,), (5.0,))
    assert not safedpo(threshold=5.0)(b).metrics["safety/left_out"].any()
    assert safedpo(threshold=5.0001)(b).metrics["safety/left_out"].all()


def test_safedpo_delta_shifts_the_margin_at_which_a_pair_is_settled() -> None:
    """With the reward apart by exactly delta, a safe and an unsafe response cost log 2."""
    b = scored((9.0,), (1.0,), (1.0,), (9.0,))
    margin = DpoLoss(DpoConfig(beta=0.3))(b).metrics["rewards/margins"][0].item()
    shifted = with_logprobs(b, b.logprobs.clone())
    shifted.logprobs[0, 0] += (4.0 - margin) / 0.3
    loss = safedpo(threshold=5.0, beta=0.3, delta=4.0)(shifted)
    assert loss.losses[0].item() == pytest.approx(0.6931471805599453)


def test_safedpo_learns_nothing_from_unsafe_responses_alone_and_stays_differentiable() -> None:
    b = make_batch()
    logprobs = b.logprobs.clone().requires_grad_()
    result = safedpo(threshold=100.0)(with_logprobs(b, logprobs))
    assert result.losses.tolist() == [0, 0, 0, 0]
    assert result.metrics["safety/left_out"].tolist() == [1, 1, 1, 1]
    (gradient,) = torch.autograd.grad(result.losses.sum(), logprobs)
    assert not gradient.any()


def test_safedpo_needs_a_threshold() -> None:
    with pytest.raises(ValidationError) as caught:
        SafeDpoConfig()  # type: ignore[call-arg]
    assert [(e["loc"], e["type"]) for e in caught.value.errors()] == [(("threshold",), "missing")]


def test_safedpo_says_which_objectives_there_are() -> None:
    config = SafeDpoConfig(threshold=5.0, objective=2)
    message = "there is no objective 2: there are 2, and the first is 0. Choose 0 to 1"
    assert list(config.check_recipe(TWO)) == [("objective", message)]
    assert list(SafeDpoConfig(threshold=5.0, objective=1).check_recipe(TWO)) == []
    with pytest.raises(ValueError, match=f"^{message}$"):
        SafeDpoLoss(config)(make_batch())


def test_reward_soup_is_simpo_where_the_composite_score_agrees() -> None:
    b = make_batch()
    result = soup(9, 1, beta=2.0, gamma=0.3)(b)
    plain = SimpoLoss(SimpoConfig(beta=2.0, gamma=0.3))(b)
    torch.testing.assert_close(result.losses, plain.losses)
    assert result.metrics["composite/turned"].tolist() == [0, 0, 0, 0]
    assert result.metrics["weight"].tolist() == [1, 1, 1, 1]


def test_reward_soup_turns_pairs_that_the_composite_score_orders_otherwise() -> None:
    b = make_batch()
    result = soup(1, 9)(b)
    turn = torch.tensor([True, False, False, False])
    assert result.metrics["composite/turned"].tolist() == [1, 0, 0, 0]
    torch.testing.assert_close(result.losses, SimpoLoss(SimpoConfig())(turned(b, turn)).losses)
    assert result.metrics["composite/margins"][0].item() == pytest.approx(0.9 * 1 - 0.1 * 1)


@pytest.mark.parametrize(
    ("weights", "scores"),
    [
        ((1, 1), ((9, 5), (8, 6))),
        ((6, 4), ((5, 8), (7, 5))),
        ((0.6, 0.4), ((5, 8), (7, 5))),
        ((0.7, 0.3), ((1.1, 5.8), (2.6, 2.3))),
        ((3, 0), ((4, 1), (4, 9))),
        ((1, 2), ((4, 1), (4, 1))),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reward_soup_gives_ties_no_weight(
    weights: tuple[float, ...], scores: Any, dtype: torch.dtype
) -> None:
    """Also where the composite scores differ by rounding alone."""
    b = make_batch(dtype=dtype)
    pair = with_values(
        b,
        chosen=torch.tensor([0]),
        rejected=torch.tensor([1]),
        scores=torch.tensor([*scores, (0, 0), (0, 0)], dtype=dtype),
        logprobs=b.logprobs.clone().requires_grad_(),
    )
    result = soup(*weights)(pair)
    assert result.losses.tolist() == [0]
    assert result.metrics["weight"].tolist() == [0]
    assert result.metrics["composite/margins"].tolist() == [0]
    (gradient,) = torch.autograd.grad(result.losses.sum(), pair.logprobs)
    assert not gradient.any()


def test_reward_soup_takes_a_small_difference_for_what_it_is() -> None:
    b = scored((5.0, 5.0), (5.0, 5.001), (0.0, 0.0), (0.0, 0.0))
    margins = composite_margins(b, torch.tensor([0.9, 0.1], dtype=torch.float64))
    assert margins[0].item() == pytest.approx(-0.0001)


def test_reward_soup_weights_are_shares() -> None:
    b = make_batch()
    assert RewardSoupConfig(weights=(6, 4)).shares == pytest.approx((0.6, 0.4))
    wanted = soup(6, 4)(b)
    for weights in ((0.6, 0.4), (60, 40)):
        found = soup(*weights)(b)
        torch.testing.assert_close(found.losses, wanted.losses)
        torch.testing.assert_close(
            found.metrics["composite/margins"], wanted.metrics["composite/margins"]
        )


@pytest.mark.parametrize("weights", [(1.0,), (5.0, 3.0, 2.0)])
def test_reward_soup_names_both_counts(weights: tuple[float, ...]) -> None:
    config = RewardSoupConfig(weights=weights)
    message = (
        f"the number of weights is {len(weights)}, but the number of objectives is 2. "
        "Give one weight for each objective, in their order"
    )
    assert list(config.check_recipe(TWO)) == [("weights", message)]
    assert list(RewardSoupConfig(weights=(6, 4)).check_recipe(TWO)) == []
    with pytest.raises(ValueError, match=f"^{message}$"):
        RewardSoupLoss(config)(make_batch())


def test_reward_soup_needs_a_weight_above_0() -> None:
    with pytest.raises(ValidationError) as caught:
        RewardSoupConfig(weights=(0, 0))
    (error,) = caught.value.errors()
    assert error["msg"] == (
        "Value error, all weights are 0, so no score counts. Make one or more positive"
    )


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (SafeDpoConfig, {"threshold": float("nan")}),
        (SafeDpoConfig, {"threshold": 5, "objective": -1}),
        (SafeDpoConfig, {"threshold": 5, "delta": -1}),
        (SafeDpoConfig, {"threshold": 5, "beta": 0}),
        (RewardSoupConfig, {}),
        (RewardSoupConfig, {"weights": ()}),
        (RewardSoupConfig, {"weights": (1, -1)}),
        (RewardSoupConfig, {"weights": (1, float("inf"))}),
        (RewardSoupConfig, {"weights": (6, 4), "alpha": 1}),
    ],
)
def test_bad_settings_are_refused(config: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**values)
