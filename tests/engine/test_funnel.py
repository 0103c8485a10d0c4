"""Every training prompt is in the funnel exactly once."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from spa.engine.funnel import FunnelStep, funnel
from spa.engine.rows import VerdictRow
from spa.engine.stages.stage import StageRows
from spa.types import PreferencePair, RequestFailure


def verdict(name: str, lost_at: str = "", reason: str = "kept") -> VerdictRow:
    return VerdictRow(name, not lost_at, lost_at, reason)


def pair(prompt: str) -> PreferencePair:
    return PreferencePair(prompt, "a", "b", (1.0,), (0.0,), 1.0, 1.0)


def made(*names: str, **broken: RequestFailure) -> StageRows[PreferencePair]:
    return StageRows("key", [pair(name) for name in names], broken)


def test_a_funnel_with_all_ways_to_be_lost() -> None:
    rows = [
        verdict("p1"),
        verdict("p2"),
        verdict("p3", "sample", "too_long"),
        verdict("p4", "judge", "unscored"),
        verdict("p5", "spa-align/consistency", "refined_not_better"),
        verdict("p6", "spa-align/consistency", "ceiling"),
        verdict("p7", "other/sample", "degenerate"),
        verdict("p8", "refine", "too_long"),
        verdict("p9", "denoise", "component_error"),
        verdict("p10"),
    ]
    broken = {"p10": RequestFailure("component_error", "KeyError: 'x'")}
    names = ["spa-align/consistency", "other/sample"]
    assert funnel(rows, names, made("p1", "p1", **broken)) == [
        FunnelStep("prompts", 10),
        FunnelStep("sampled", 9, {"too_long": 1}),
        FunnelStep("refined", 8, {"too_long": 1}),
        FunnelStep("scored", 7, {"unscored": 1}),
        FunnelStep("consistency", 5, {"refined_not_better": 1, "ceiling": 1}),
        FunnelStep("sample", 4, {"degenerate": 1}),
        FunnelStep("denoised", 3, {"component_error": 1}),
        FunnelStep("paired", 1, {"component_error": 1, "no_pair": 1}, 2),
    ]


@given(st.lists(st.sampled_from(["", "sample", "refine", "judge", "x", "y"])))
def test_what_is_lost_and_what_is_left_add_up(places: list[str]) -> None:
    rows = [verdict(f"p{i}", place, "why") for i, place in enumerate(places)]
    kept = [row for row in rows if row.keep]
    steps = funnel(rows, ["x", "y"], made(*(row.prompt_id for row in kept[::2])))
    assert steps[0].prompts == len(rows)
    for before, after in pairwise(steps):
        assert before.prompts - sum(after.lost.values()) == after.prompts
