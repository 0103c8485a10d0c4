"""Only what differs between recipes is told."""

from __future__ import annotations

from typing import Any

from spa.comparison.recipes import ABSENT, differences

RECIPE: dict[str, Any] = {
    "name": "a",
    "seed": 0,
    "objectives": [{"name": "safe", "threshold": None}, {"name": "useful", "threshold": None}],
    "generate": {"use": "spa-align/diverse", "n": 4, "system_prompts": ["x"]},
    "loss": {"use": "spa-align/spa", "beta": 2.5, "alpha": 1.0},
    "denoise": [{"use": "spa-align/consistency"}, {"use": "spa-align/informativeness", "tau": 4.0}],
    "refine": {"use": "spa-align/self-refine"},
}


def told(**changes: Any) -> list[tuple[str, tuple[Any, ...]]]:
    return [(d.key, d.values) for d in differences([RECIPE, {**RECIPE, **changes}])]


def test_equal_recipes_and_other_names_are_no_difference() -> None:
    assert told(name="b") == []


def test_a_value_deep_inside_is_told_with_its_place() -> None:
    assert told(generate={**RECIPE["generate"], "n": 8}) == [("generate.n", (4, 8))]
    stricter = [RECIPE["denoise"][0], {**RECIPE["denoise"][1], "tau": 1.0}]
    assert told(denoise=stricter) == [("denoise.1.tau", (4.0, 1.0))]
    other = [RECIPE["objectives"][0], {"name": "useful", "threshold": 7.0}]
    assert told(objectives=other) == [("objectives.useful.threshold", (None, 7.0))]


def test_another_component_is_told_by_name_and_not_by_its_settings() -> None:
    simpo = {"use": "spa-align/simpo", "beta": 2.0, "gamma": 0.5}
    assert told(loss=simpo) == [("loss", ("spa", "simpo"))]
    assert told(denoise=[]) == [("denoise", ("consistency+informativeness", []))]
    assert told(refine=None) == [("refine", ("self-refine", None))]
    turned = RECIPE["objectives"][::-1]
    assert told(objectives=turned) == [("objectives", ("safe+useful", "useful+safe"))]


def test_a_setting_that_only_one_version_knows() -> None:
    loss = {**RECIPE["loss"], "gap": "sum"}
    assert told(loss=loss) == [("loss.gap", (ABSENT, "sum"))]
