"""Mean and median over members, their scales, and members that gave no score."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from spa.api import Objective, Scale, Score
from spa.components.judges.ensemble import EnsembleJudge
from spa.components.judges.ensemble_config import EnsembleConfig

OBJECTIVES = (Objective("safe", "Is it safe?"),)


def ensemble(count: int, **settings: Any) -> EnsembleJudge:
    return EnsembleJudge(EnsembleConfig(members=({},) * count, **settings))


def combined(judge: EnsembleJudge, values: list[float | None], scales: list[Scale]) -> Score:
    given = [{"safe": Score(v, None if v is not None else "unparsable")} for v in values]
    return judge.combine(given, scales, OBJECTIVES)["safe"]


@pytest.mark.parametrize(("combine", "value"), [("mean", 4.0), ("median", 3.0)])
def test_mean_and_median_with_each_value_and_their_spread(combine: str, value: float) -> None:
    score = combined(ensemble(3, combine=combine), [1.0, 3.0, 8.0], [(1, 9)] * 3)
    assert score.value == value
    assert score.details["members"] == [1.0, 3.0, 8.0]
    assert score.details["standard_deviation"] == pytest.approx(statistics.pstdev([1, 3, 8]))


def test_other_scales_are_mapped_to_the_first_members() -> None:
    judge = ensemble(2)
    scales: list[Scale] = [(1.0, 9.0), (0.0, 1.0)]
    assert judge.combined_scale(scales) == (1.0, 9.0)
    score = combined(judge, [3.0, 0.75], scales)
    assert score.details["members"] == [3.0, 7.0]
    assert score.value == 5.0


@example(scales=[(683.2319081766789, 684.2319081766789), (0.0, 1.0), (0.0, 1.0)], share=0.0)
@given(
    scales=st.lists(
        st.tuples(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3)).map(lambda t: (t[0], t[0] + t[1])),
        min_size=2,
        max_size=4,
    ),
    share=st.sampled_from([0.0, 1.0]),
)
def test_ends_of_scales_are_mapped_to_ends(scales: list[tuple[float, float]], share: float) -> None:
    at = [scale[int(share)] for scale in scales]
    score = combined(ensemble(len(scales)), list(at), list(scales))
    assert score.value == pytest.approx(scales[0][int(share)], rel=1e-9, abs=1e-9)
    assert score.value is not None
    assert scales[0][0] <= score.value <= scales[0][1]


def test_members_without_bounds_are_taken_as_they_are() -> None:
    judge = ensemble(2)
    assert judge.combined_scale([None, None]) is None
    assert combined(judge, [-3.0, 5.0], [None, None]).value == 1.0


def test_a_member_without_a_scale_beside_one_with_a_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="no scale") as caught:
        ensemble(2).combined_scale([(1, 9), None])
    assert str(caught.value) == (
        "member 1 has no scale, so its scores cannot be mapped to that of the others. "
        "Use members with a scale, or members that all have none"
    )


def test_all_must_score_unless_fewer_are_asked_for() -> None:
    scales: list[Scale] = [(1, 9)] * 3
    strict = combined(ensemble(3), [4.0, None, 6.0], scales)
    assert strict == Score(
        None,
        "too_few_members",
        {"members": [4.0, None, 6.0], "reasons": [None, "unparsable", None]},
    )
    enough = combined(ensemble(3, min_members=2), [4.0, None, 6.0], scales)
    assert enough == Score(5.0, details={"members": [4.0, None, 6.0], "standard_deviation": 1.0})
    assert combined(ensemble(3, min_members=2), [4.0, None, None], scales).value is None
    assert combined(ensemble(3, min_members=1), [4.0, None, None], scales).value == 4.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": ()}, "at least 1 item"),
        (
            {"members": ({},), "min_members": 2},
            "min_members is 2, but there are 1 members. Lower it",
        ),
        ({"members": ({},), "combine": "max"}, "'mean' or 'median'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EnsembleConfig(**settings)
