"""Which examples a page has, how they are sorted out, and the figures of the headline."""

from __future__ import annotations

from pathlib import Path

import pytest
from reported_run import make_reported_run
from viewed_run import make_viewed_run

from spa.engine.stored_run import open_run
from spa.report.charts.bins import binned
from spa.report.charts.pareto import Arrow, pareto
from spa.report.example_data import example_data
from spa.report.headline import Change, Estimate, headline
from spa.report.reading import read_run
from spa.types import Objective
from spa.viewing.choosing import Choice, choose
from spa.viewing.examples import Reader


def test_filters_are_those_of_show(tmp_path: Path) -> None:
    reader = Reader(open_run(make_viewed_run(tmp_path)))
    data = example_data(read_run(reader, 100))
    choices = {
        "regressions": Choice(regressions=True),
        "flips": Choice(flips=True),
        "unscored": Choice(unscored=True),
        "heldout": Choice(split="heldout"),
        "train": Choice(split="train"),
    }
    for name, choice in choices.items():
        there = [data["examples"][place]["id"] for place in data["filters"][name]]
        assert sorted(there) == sorted(each.prompt.id for each in choose(reader, choice)), name
    for reason, places in data["reasons"].items():
        there = {data["examples"][place]["id"] for place in places}
        assert there == {each.prompt.id for each in choose(reader, Choice(reason=reason))}
    told = {each["id"]: each["told"] for each in data["examples"]}
    assert told == {
        "h1": "fell", "t1": "2 pairs", "h2": "rose", "t2": "refined_not_better", "t3": "no pair",
        "h3": "fell", "t4": "too_long", "h4": "the same",
    }  # fmt: skip


def test_regressions_and_flips_come_first_where_not_all_examples_fit(tmp_path: Path) -> None:
    reader = Reader(open_run(make_reported_run(tmp_path, train=40, heldout=30)))
    wanted = {each.prompt.id for each in choose(reader, Choice(regressions=True))}
    wanted |= {each.prompt.id for each in choose(reader, Choice(flips=True))}
    read = read_run(reader, len(wanted) + 12)
    kept = [each.prompt.id for each in read.examples]
    assert wanted < set(kept)
    assert read.total == 70
    assert kept == sorted(kept, key=lambda each: (each[0] == "h", each))  # as the prompts are
    # Then what was dropped or has no score: ten training prompts and the last held-out one.
    dropped = {f"t{place:04}" for place in range(3, 40, 4)}
    assert len(dropped & set(kept)) + ("h0029" in set(kept) - wanted) >= 10
    assert [each.prompt.id for each in read_run(reader, len(wanted) + 12).examples] == kept
    assert read_run(reader, 0).examples == []


def test_the_headline_is_what_the_evaluator_said_and_the_paper_s_weighted_mean(
    tmp_path: Path,
) -> None:
    run = open_run(make_reported_run(tmp_path))
    changes = {change.name: change for change in headline(run)}
    assert list(changes) == ["safe", "use.ful[0]", "HH_5", "HH_10", "HH_20"]
    own = {(m["name"], m["model"]): m for m in run.manifest["metrics"]}
    for name in ("safe", "use.ful[0]"):
        metric, found = own[name, "round-1 - base"], changes[name].difference
        assert (found.value, found.low, found.high, found.n) == (
            metric["value"], metric["low"], metric["high"], metric["n"],
        )  # fmt: skip
    # By hand: the first nine of ten prompts have all scores; h0000 and h0005 fall by 1.
    safe, useful = [-1 if n % 5 == 0 else 1 for n in range(9)], [0.5] * 9
    mean = sum((10 * a + b) / 11 for a, b in zip(safe, useful, strict=True)) / 9
    assert changes["HH_10"].difference.value == pytest.approx(mean, abs=1e-12)
    assert changes["HH_10"].difference.n == 9
    assert (changes["HH_10"].before.missing, changes["HH_10"].difference.missing) == (0, 1)


@pytest.mark.parametrize(
    ("low", "high", "finding"),
    [
        (0.1, 0.3, "rose"),
        (-0.3, -0.1, "fell"),
        (-0.1, 0.3, "not significant: the interval holds 0"),
        (0.0, 0.3, "not significant: the interval holds 0"),
        (None, None, "no interval, so nothing can be said"),
    ],
)
def test_what_may_be_said_of_a_difference(low, high, finding) -> None:
    change = Change("safe", Estimate(1.0), Estimate(1.1), Estimate(0.1, low, high, 8))
    assert change.finding == finding


def change(name: str, before: float, after: float) -> Change:
    return Change(name, Estimate(before), Estimate(after), Estimate(after - before))


@pytest.mark.parametrize(
    ("secondary", "primary", "angle"),
    [((1, 1), (1, 2), 0), ((1, 2), (1, 1), 90), ((1, 1), (2, 1), 180), ((2, 1), (1, 1), -90)],
)
def test_arrows_point_where_the_model_went(secondary, primary, angle) -> None:
    arrow = Arrow("run", change("first", *primary), change("second", *secondary))
    objectives = [Objective("first", "", 1.5), Objective("second", "")]
    spec = pareto([arrow], objectives)
    assert spec["data"]["values"][1]["angle"] == pytest.approx(angle, abs=1e-9)
    shades = [layer for layer in spec["layer"] if layer["mark"]["type"] == "rect"]
    high = spec["layer"][-1]["encoding"]["y"]["scale"]["domain"][1]
    assert len(shades) == (1 if high > 1.5 else 0)


def test_bins_lose_no_value() -> None:
    rows = binned({"a": [1.0, 1.03, 2.7, 9.0], "b": [5.0], "none": []})
    assert {row["series"] for row in rows} == {"a", "b"}
    assert sum(row["count"] for row in rows if row["series"] == "a") == 4
    assert sum(row["share"] for row in rows if row["series"] == "b") == pytest.approx(1)
    assert binned({"same": [3.0, 3.0]})[0]["count"] == 2
    assert binned({}) == []


def test_whole_numbers_have_a_bin_each_around_them() -> None:
    rows = binned({"a": [1, 1, 2, 5]})
    assert [(row["start"], row["end"], row["count"]) for row in rows] == [
        (0.5, 1.5, 2), (1.5, 2.5, 1), (2.5, 3.5, 0), (3.5, 4.5, 0), (4.5, 5.5, 1),
    ]  # fmt: skip
