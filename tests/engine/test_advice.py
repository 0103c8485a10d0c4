"""Settings to try when no pair is left fit the reason that lost most, and the recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from spa.engine.advice import ADVICE, advice, settings_to_try
from spa.engine.funnel import FunnelStep
from spa.engine.rows import NamedVerdict, VerdictRow
from spa.recipe import Recipe
from spa.testing import make_group

Load = Callable[..., Recipe]


def lost(**reasons: int) -> list[FunnelStep]:
    return [FunnelStep("prompts", 9), FunnelStep("x", 0, reasons)]


def settings(
    recipe: Recipe, steps: Sequence[FunnelStep], verdicts: Any = (), groups: Any = ()
) -> list[str]:
    return list(settings_to_try(recipe, steps, verdicts, groups))


def test_the_two_largest_reasons_are_explained() -> None:
    said = advice(lost(no_pair=2, refined_not_better=5, ceiling=1))
    assert said.splitlines()[1:3] == [ADVICE["refined_not_better"], ADVICE["no_pair"]]


@pytest.mark.parametrize(
    ("sets", "reason", "tried"),
    [
        (
            ["prompts.limit=9", "refine.temperature=0.5"],
            "refined_not_better",
            ["prompts.limit=null", "refine.temperature=0", "generate.n=2"],
        ),
        (["refine.temperature=0", "generate.n=1"], "refined_not_better", []),
        (
            ["generate.n=4", "denoise=[{use: informativeness}]"],
            "refined_not_better",
            ["refine.temperature=0", "generate.n=3"],
        ),
        # It says itself that it needs three samples.
        (
            ["generate.n=3", "denoise=[{use: informativeness}]"],
            "refined_not_better",
            ["refine.temperature=0"],
        ),
        (["generate.temperature=0.7"], "degenerate", ["generate.temperature=1"]),
        (["generate.temperature=1.0"], "degenerate", ["generate.temperature=1.25"]),
        (["generate.temperature=1.4"], "degenerate", ["generate.temperature=1.5"]),
        (["generate.temperature=1.5", "prompts.limit=9"], "degenerate", ["prompts.limit=null"]),
        (["generate.temperature=[0.5, 1.0]"], "degenerate", []),
        ([], "too_few_samples", ["generate.n=5"]),
        (["refine.max_tokens=100"], "no_refined", ["refine.max_tokens=200"]),
        (["prompts.limit=9"], "ceiling", ["prompts.limit=null"]),
        ([], "ceiling", []),
        (["prompts.limit=9"], "unscored", []),
        (["prompts.limit=9"], "reason_of_a_plugin", []),
    ],
)
def test_settings_fit_the_reason(
    recipe: Load, sets: list[str], reason: str, tried: list[str]
) -> None:
    assert settings(recipe(sets), lost(**{reason: 3, "too_long": 1})) == tried


def test_a_margin_is_set_to_half_of_the_largest_difference(recipe: Load) -> None:
    groups = [
        make_group([(5.0, 5.0), (5.1, 5.0)], refined=None),
        make_group([(5.0, 5.0), (5.2, 5.0), (5.0, 4.17)], refined=None),
    ]
    loaded = recipe(["pairs.margin=2.0", "prompts.limit=9"])
    # The largest is 0.2 + 0.83.
    found = settings(loaded, lost(no_pair=3), (), groups)
    assert found == ["pairs.margin=0.51", "prompts.limit=null"]


def test_a_margin_that_is_not_to_blame_stays(recipe: Load) -> None:
    groups = [make_group([(5.0, 5.0), (5.0, 5.0)], refined=None)]
    assert settings(recipe(["pairs.margin=2.0"]), lost(no_pair=3), (), groups) == []


def test_half_of_the_groups_pass_the_new_limit_of_the_determinant(recipe: Load) -> None:
    rows = [
        VerdictRow(
            str(determinant),
            False,
            "x",
            "unstable",
            verdicts=(NamedVerdict("x", False, "unstable", {"determinant": determinant}),),
        )
        for determinant in (4.31, 2.5, 100.0)
    ]
    loaded = recipe(["denoise=[{use: consistency}, {use: informativeness, max_determinant: 2.0}]"])
    (setting,) = settings(loaded, lost(unstable=3), rows)
    assert setting == "denoise.1.max_determinant=4.4"
