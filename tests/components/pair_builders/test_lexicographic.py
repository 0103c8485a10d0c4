"""Pairs follow the order and the margin, whatever order the samples come in."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa.api import Group, Message, Objective, Prompt, RecipeFacts, Response, Score, Scored
from spa.components.pair_builders.configs import LexicographicConfig
from spa.components.pair_builders.lexicographic import LexicographicPairBuilder

SCORES = st.integers(1, 10).map(float) | st.floats(1, 10)


@st.composite
def cases(draw: st.DrawFn) -> Any:
    """A number of objectives, vectors of samples, a refined vector or none, settings."""
    count = draw(st.integers(1, 3))
    vector = st.lists(SCORES, min_size=count, max_size=count).map(tuple)
    samples = draw(st.lists(vector, min_size=1, max_size=5))
    settings = {
        "margin": draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])),
        "tie_tolerance": draw(st.sampled_from([0.0, 0.5])),
        "sources": draw(st.sampled_from(["all", "refined_vs_each"])),
    }
    thresholds = [draw(st.none() | SCORES) for _ in range(count)]
    return samples, draw(st.none() | vector), thresholds, settings


def build(**settings: Any) -> LexicographicPairBuilder:
    return LexicographicPairBuilder(LexicographicConfig(**settings))


def ids(pairs: Any) -> set[tuple[str, str]]:
    return {(pair.chosen, pair.rejected) for pair in pairs}


def expected_pairs(responses: Any, thresholds: Any, settings: Any) -> set[tuple[str, str]]:
    """The definition, written out independently on numpy arrays."""
    found = set()
    for (left, a), (right, b) in permutations(responses, 2):
        if settings["sources"] == "refined_vs_each" and "p/r" not in (left, right):
            continue
        a64, b64 = np.array(a, dtype=np.float64), np.array(b, dtype=np.float64)
        limits = np.array([np.inf if t is None else t for t in thresholds])
        a_cut, b_cut = np.minimum(a64, limits), np.minimum(b64, limits)
        if settings["tie_tolerance"]:
            step = settings["tie_tolerance"]
            a_cut, b_cut = np.floor(a_cut / step + 0.5), np.floor(b_cut / step + 0.5)
        differs = np.flatnonzero(a_cut != b_cut)
        if not len(differs) or a_cut[differs[0]] < b_cut[differs[0]]:
            continue
        if np.abs(a64 - b64).sum() >= settings["margin"] * (1 - 1e-9):
            found.add((left, right))
    return found


@given(cases())
def test_equals_the_definition(make_group: Callable[..., Group], case: Any) -> None:
    samples, refined, thresholds, settings = case
    objectives = [Objective(f"o{k}", "", threshold=t) for k, t in enumerate(thresholds)]
    group = make_group(samples, refined)
    pairs = build(**settings).pairs(group, objectives)
    responses = [(scored.id, scored.vector(objectives)) for scored in group]
    assert ids(pairs) == expected_pairs(responses, thresholds, settings)
    assert len(ids(pairs)) == len(pairs), "none twice"
    assert not ids(pairs) & {(rejected, chosen) for chosen, rejected in ids(pairs)}
    vectors = dict(responses)
    for pair in pairs:
        left, right = np.array(vectors[pair.chosen]), np.array(vectors[pair.rejected])
        assert (pair.chosen_scores, pair.rejected_scores) == (tuple(left), tuple(right))
        assert pair.margin == pytest.approx(np.abs(left - right).sum(), abs=1e-12)
        assert pair.gap == pytest.approx(abs(left.sum() - right.sum()), abs=1e-12)
        assert pair.prompt_id == "p"


@given(cases(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(
    make_group: Callable[..., Group], case: Any, rng: random.Random
) -> None:
    samples, refined, thresholds, settings = case
    objectives = [Objective(f"o{k}", "", threshold=t) for k, t in enumerate(thresholds)]
    group = make_group(samples, refined)
    shuffled = list(group.samples)
    rng.shuffle(shuffled)
    other = Group(group.prompt, tuple(shuffled), group.refined)
    assert build(**settings).pairs(group, objectives) == build(**settings).pairs(other, objectives)


@given(cases())
def test_a_greater_margin_only_removes_pairs(make_group: Callable[..., Group], case: Any) -> None:
    samples, refined, thresholds, settings = case
    objectives = [Objective(f"o{k}", "", threshold=t) for k, t in enumerate(thresholds)]
    group = make_group(samples, refined)
    fewer = build(**(settings | {"margin": settings["margin"] + 1})).pairs(group, objectives)
    assert ids(fewer) <= ids(build(**settings).pairs(group, objectives))


@st.composite
def copied_groups(draw: st.DrawFn, make: Any) -> tuple[Group, Group]:
    """A group, and the same with copies put in: of samples, and as the refined response."""
    samples, refined, thresholds, _ = draw(cases())
    group = make(samples, refined)
    copies = []
    for number, origin in enumerate(draw(st.lists(st.sampled_from(group.samples), max_size=3))):
        scores = {f"o{k}": Score(draw(SCORES)) for k in range(len(thresholds))}
        response = replace(origin.response, id=f"p/x{number}", index=9 + number)
        copies.append(Scored(response, scores))
    refined_too = group.refined
    if draw(st.booleans()) or refined_too is None:
        origin = draw(st.sampled_from(group.samples))
        refined_too = Scored(replace(origin.response, id="p/r"), origin.scores)
        group = replace(group, refined=None)
    mixed = draw(st.permutations([*group.samples, *copies]))
    return group, Group(group.prompt, tuple(mixed), refined_too)


@given(st.data(), st.sampled_from([0.0, 1.0]))
def test_copies_make_no_pair_of_their_own(
    make_group: Callable[..., Group], data: Any, margin: float
) -> None:
    """Whatever the copies were scored, the pairs are those of the group without them."""
    group, copied = data.draw(copied_groups(make_group))
    objectives = [Objective(name, "") for name in group.samples[0].scores]
    builder = build(margin=margin)
    assert builder.pairs(copied, objectives) == builder.pairs(group, objectives)


def test_a_copied_sample_stands_for_the_refined_response(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    group = make_group([(5.0,), (9.0,), (1.0,)])
    best = group.samples[1]
    group = replace(group, refined=Scored(replace(best.response, id="p/r"), best.scores))
    pairs = build(sources="refined_vs_each").pairs(group, make_objectives(1))
    assert ids(pairs) == {("p/s1", "p/s0"), ("p/s1", "p/s2")}


def test_the_same_text_of_other_tokens_is_another_response(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    group = make_group([(5.0,), (9.0,)])
    one = group.samples[0]
    other = Scored(replace(one.response, id="p/s1", token_ids=(1, 3)), group.samples[1].scores)
    twice = replace(group, samples=(one, other))
    assert ids(build().pairs(twice, make_objectives(1))) == {("p/s1", "p/s0")}


def test_margin_is_on_the_sum_of_absolute_differences(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    group = make_group([(5.0, 3.0), (4.0, 5.0)])
    (pair,) = build(margin=3.0).pairs(group, make_objectives(2))
    assert (pair.chosen, pair.margin, pair.gap) == ("p/s0", 3.0, 1.0)
    assert build(margin=3.1).pairs(group, make_objectives(2)) == []


def test_a_valid_pair_can_have_gap_zero(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    (pair,) = build().pairs(make_group([(5.0, 3.0), (3.0, 5.0)]), make_objectives(2))
    assert (pair.margin, pair.gap) == (4.0, 0.0)


def test_margin_met_up_to_rounding_is_met(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    group = make_group([(0.3,), (0.1,)])
    assert 0.3 - 0.1 < 0.2
    assert len(build(margin=0.2).pairs(group, make_objectives(1))) == 1


def test_ties_make_no_pair_even_without_margin(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    assert build(margin=0.0).pairs(make_group([(5.0,), (5.0,)]), make_objectives(1)) == []


def test_a_tie_within_tolerance_lets_the_next_objective_decide(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    group = make_group([(5.2, 3.0), (5.0, 9.0)])
    assert ids(build().pairs(group, make_objectives(2))) == {("p/s0", "p/s1")}
    assert ids(build(tie_tolerance=0.5).pairs(group, make_objectives(2))) == {("p/s1", "p/s0")}


def test_scores_above_the_threshold_are_met(make_group: Callable[..., Group]) -> None:
    objectives = [Objective("o0", "", threshold=7.0), Objective("o1", "")]
    group = make_group([(9.0, 3.0), (7.0, 6.0)])
    (pair,) = build().pairs(group, objectives)
    assert (pair.chosen, pair.rejected) == ("p/s1", "p/s0")
    assert pair.chosen_scores == (7.0, 6.0), "scores as judged, not as cut"


def test_refined_vs_each_pairs_in_either_direction(
    make_group: Callable[..., Group], make_objectives: Callable[..., list[Objective]]
) -> None:
    group = make_group([(9.0,), (1.0,)], refined=(5.0,))
    pairs = build(sources="refined_vs_each").pairs(group, make_objectives(1))
    assert ids(pairs) == {("p/s0", "p/r"), ("p/r", "p/s1")}
    without = make_group([(9.0,), (1.0,)])
    assert build(sources="refined_vs_each").pairs(without, make_objectives(1)) == []


def test_a_recipe_without_refine_cannot_pair_refined_responses() -> None:
    facts = RecipeFacts(("a",), refines=False)
    assert list(LexicographicConfig(sources="refined_vs_each").check_recipe(facts)) == [
        (
            "sources",
            "there is no refined response to pair the samples with. Add a `refine` section, or set"
            " sources to `all`",
        )
    ]
    assert list(LexicographicConfig().check_recipe(facts)) == []


# Labels alone, no text: row number and the labels of both answers of 817 pairs that were made of
# TruthfulQA (github.com/sylinrl/TruthfulQA, data/finetune_truth.jsonl and finetune_info.jsonl),
# by Lin, Hilton and Evans, licensed under Apache-2.0.
LABELS = Path(__file__).parents[2] / "data" / "truthfulqa_labels.jsonl"


def labelled_rows() -> list[dict]:
    return [json.loads(line) for line in LABELS.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("priority", [("truthful", "informative"), ("truthful",), ("informative",)])
def test_labels_of_truthfulqa_decide(priority: Any) -> None:
    """817 pairs with two labels each: the right side where they decide, nothing where they tie."""
    rows = labelled_rows()
    assert [row["row"] for row in rows] == list(range(817))
    objectives = [Objective(name, "") for name in priority]
    builder = build(margin=1.0)
    decided = 0
    for row in rows:
        answers = tuple(
            Scored(
                Response(str(side), id=str(side)),
                {name: Score(float(row[name][side])) for name in priority},
            )
            for side in (0, 1)
        )
        group = Group(Prompt(str(row["row"]), (Message("user", "?"),)), answers)
        labels = [[row[name][side] for name in priority] for side in (0, 1)]
        found = ids(builder.pairs(group, objectives))
        better = str(int(labels[1] > labels[0]))
        assert found == (set() if labels[0] == labels[1] else {(better, str(1 - int(better)))})
        decided += len(found)
    assert decided == {2: 817, 1: 615 if priority == ("truthful",) else 609}[len(priority)]
