"""Which examples are chosen, in which order, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from viewed_run import RECIPE, make_viewed_run

from spa.engine.stored_run import open_run
from spa.errors import RunError, UsageError
from spa.types import Objective, PreferencePair, Prompt, Response, Score, Scored
from spa.viewing.choosing import Choice, choose, prompt_ids
from spa.viewing.examples import Example, Reader, decided_by
from spa.viewing.judging import changes, count_reasons, flips, has_fallen, reasons
from spa.viewing.records import example_record


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_viewed_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def reader(run: Path) -> Reader:
    return Reader(open_run(run))


def ids(reader: Reader, **choice: Any) -> list[str]:
    return [each.prompt.id for each in choose(reader, Choice(**choice))]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, ["h1", "t1", "h2", "t2", "t3", "h3", "t4", "h4"]),
        ({"split": "train"}, ["t1", "t2", "t3", "t4"]),
        ({"skip": 1, "limit": 2}, ["t1", "h2"]),
        ({"ids": ("t3/s1", "h2")}, ["h2", "t3"]),
        ({"regressions": True}, ["h3", "h1"]),
        ({"regressions": True, "reverse": True}, ["h1", "h3"]),
        ({"regressions": True, "limit": 1}, ["h3"]),
        ({"regressions": True, "objective": "useful"}, []),
        ({"flips": True}, ["h1"]),
        ({"flips": True, "objective": "safe"}, ["h1"]),
        ({"unscored": True}, ["t3", "h4"]),
        ({"unscored": True, "objective": "useful"}, []),
        ({"reason": "too_long"}, ["t4"]),
        ({"reason": "refined_not_better"}, ["t2"]),
        ({"reason": "no_pair"}, ["t3"]),
        ({"reason": "low_label_mass", "stage": "judge"}, ["t3"]),
        ({"reason": "consistent", "stage": "denoise"}, ["t1", "t3"]),
        ({"stage": "sample"}, ["t1", "t2", "t3", "t4"]),
        ({"stage": "judge-refined"}, ["t1", "t2", "t3"]),
        ({"stage": "denoise"}, ["t1", "t2", "t3", "t4"]),
        ({"stage": "pairs"}, ["t1", "t3"]),
        ({"stage": "answer-base"}, ["h1", "h2", "h3", "h4"]),
        ({"stage": "evaluate-pairwise"}, ["h1", "h2", "h3", "h4"]),
        ({"sort": "change", "split": "heldout"}, ["h3", "h1", "h2", "h4"]),
        ({"sort": "change", "reverse": True, "limit": 2}, ["h2", "h1"]),
        ({"sort": "score", "split": "train", "limit": 3}, ["t2", "t1", "t3"]),
        ({"sort": "score", "objective": "useful", "split": "train", "limit": 1}, ["t2"]),
    ],
)
def test_choices(choice: dict[str, Any], expected: list[str], reader: Reader) -> None:
    assert ids(reader, **choice) == expected


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"ids": ("t33",)}, r"has no prompt 't33'\. Nearest: t3.* --stage prompts$"),
        ({"ids": ("", "t1")}, "has no prompt ''. Nearest: h1, h2, h3"),
        (
            {"reason": "unstable"},
            r"reason 'unstable' in round 1\. There are: consistent \(2\), too_long \(1\), low",
        ),
        (
            {"stage": "jugde"},
            "no rows of a stage 'jugde' in round 1. Valid: prompts, sample, judge, ",
        ),
        ({"objective": "fun"}, "unknown objective 'fun'. Valid: safe, useful."),
    ],
)
def test_mistakes_say_what_there_is(choice: dict[str, Any], message: str, reader: Reader) -> None:
    with pytest.raises(UsageError, match=message):
        ids(reader, **choice)


def test_all_reasons_are_counted_with_no_example_read(reader: Reader) -> None:
    assert count_reasons(reader) == {
        "too_long": 1,
        "low_label_mass": 1,
        "consistent": 2,
        "informative": 1,
        "refined_not_better": 1,
        "no_pair": 1,
    }


def test_the_first_examples_are_read_without_the_others(reader: Reader) -> None:
    found = reader.examples()
    assert next(found).prompt.id == "h1"


def test_what_an_example_says(reader: Reader) -> None:
    (one,) = reader.examples(prompt_ids(reader, ["t1"]))
    assert [each.decided_by for each in one.pairs] == ["useful", "safe"]
    assert [each.id for each in one.all_responses] == ["t1/s0", "t1/s1", "t1/r"]
    (lost,) = reader.examples(["t4"])
    assert reasons(lost) == {("sample", "too_long"), ("denoise", "too_long")}
    (fell,) = reader.examples(["h1"])
    assert changes(fell, reader.objectives) == {"safe": -0.25, "useful": 0.5}
    record = example_record(fell, reader.objectives)
    assert record["changes"] == {"safe": -0.25, "useful": 0.5}
    assert record["flips"] == 1
    assert [each["by"] for each in record["responses"]] == ["base", "round-1"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ([-0.1, 5.0], True),
        ([0.1, -5.0], False),
        ([0.0, -0.1], True),
        ([1e-12, -0.1], True),
        ([None, -0.1], False),
        ([0.0, 0.0], False),
        ([], False),
    ],
)
def test_the_first_objective_that_changed_decides(
    change: list[float | None], expected: bool
) -> None:
    assert has_fallen(change) is expected


def test_a_pair_that_the_order_does_not_prefer_has_a_rule_of_its_own() -> None:
    objectives = (Objective("a", ""), Objective("b", ""))
    assert decided_by(PreferencePair("p", "x", "y", (1, 3), (2, 1), 3, 1), objectives) is None
    assert decided_by(PreferencePair("p", "x", "y", (1, 1), (1, 1), 0, 0), objectives) is None
    assert decided_by(PreferencePair("p", "x", "y", (1,), (0,), 1, 1), objectives) is None
    near = PreferencePair("p", "x", "y", (1.1, 3), (1.0, 1), 2, 2)
    assert decided_by(near, objectives) == "a"
    assert decided_by(near, objectives, tie_tolerance=1.0) == "b"


def test_readings_in_both_orders_that_disagree_are_a_flip() -> None:
    def scored(name: str, as_given: float, turned: float | None) -> Scored:
        details = {"as_given": {"value": as_given}, "reversed": {"value": turned}}
        return Scored(Response("", id=name), {"safe": Score(1.0, details=details)})

    def example(*responses: Scored) -> Example:
        return Example(Prompt("p", ()), 1, {"sample": responses})

    assert flips(example(scored("a", 1, 2), scored("b", 2, 1))) == 1
    assert flips(example(scored("a", 1, 1), scored("b", 2, 2))) == 0
    assert flips(example(scored("a", 1, None), scored("b", 2, 1))) == 0


def test_a_run_without_a_trained_policy_has_no_regressions(tmp_path: Path) -> None:
    run = open_run(make_viewed_run(tmp_path, status="interrupted"))
    kept = [each for each in run.manifest["stages"] if not each["name"].endswith("round-1")]
    Path(run.folder, "run.json").write_text("{}", encoding="utf-8")
    reader = Reader(type(run)(run.folder, {**run.manifest, "stages": kept}))
    assert len(ids(reader)) == 8
    with pytest.raises(UsageError, match="the run is interrupted; the command that began it"):
        ids(reader, regressions=True)
    recipe = {**RECIPE, "prompts": {"split": None}}
    reader = Reader(type(run)(run.folder, {**run.manifest, "stages": kept, "recipe": recipe}))
    with pytest.raises(UsageError, match=r"hold some out \(prompts.split.heldout\)"):
        ids(reader, sort="change")


def test_responses_that_await_their_judge_are_not_unscored(tmp_path: Path) -> None:
    run = open_run(make_viewed_run(tmp_path))
    begun = [each for each in run.manifest["stages"] if each["name"] in ("prompts", "sample")]
    reader = Reader(type(run)(run.folder, {**run.manifest, "stages": begun}))
    (one,) = reader.examples(["t3"])
    assert [each.scores for each in one.all_responses] == [{}, {}]
    assert ids(reader, unscored=True) == []


def test_a_run_without_stages_has_nothing_to_read(tmp_path: Path) -> None:
    run = open_run(make_viewed_run(tmp_path, stages=[], status="running"))
    with pytest.raises(RunError, match="no stage of this run is done yet"):
        Reader(run)


def test_the_last_round_is_read_unless_another_is_asked_for(run: Path) -> None:
    one = open_run(run)
    own = ("sample", "judge")
    more = [{**each, "round": 2} for each in one.manifest["stages"] if each["name"] in own]
    two = type(one)(one.folder, {**one.manifest, "stages": [*one.manifest["stages"], *more]})
    last, first = Reader(two), Reader(two, 1)
    assert (last.round, first.round) == (2, 1)
    assert last.stages == ("prompts", "answer-base", "judge-answers-base", "sample", "judge")
    assert last.models == ("base",)
    assert first.models == ("base", "round-1")
    (late,) = last.examples(["t1"])
    (early,) = first.examples(["t1"])
    assert list(late.responses) == ["sample"]
    assert list(early.responses) == ["sample", "refined"]


def test_unknown_rounds_are_refused(run: Path) -> None:
    with pytest.raises(UsageError, match=r"has no round 2\. Valid: 1\."):
        Reader(open_run(run), 2)


@pytest.mark.parametrize("wanted", [None, ["t1"]])
def test_a_stage_that_is_gone_is_named(wanted: list[str] | None, tmp_path: Path) -> None:
    folder = make_viewed_run(tmp_path)
    (tmp_path / "store" / "judge-1" / "stage.json").unlink()
    with pytest.raises(RunError, match=r"its stage judge is gone: .* run the recipe again"):
        list(Reader(open_run(folder)).examples(wanted))


def test_a_stage_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = make_viewed_run(tmp_path)
    (tmp_path / "store" / "judge-1" / "data.parquet").write_bytes(b"no parquet")
    with pytest.raises(RunError, match=r"judge-1 cannot be read: .*[^.]. Run the recipe again"):
        list(Reader(open_run(folder)).examples(["t1"]))
