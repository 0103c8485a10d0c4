"""A judge check on the tiny model: what is asked, what is kept, and how a run finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spa.components.backends.hf import HFBackend
from spa.components.judges.constitution import ConstitutionJudge
from spa.engine import judge_check
from spa.engine.context import RunContext
from spa.engine.interrupt import Interrupt
from spa.engine.judge_check import STAGES, run_judge_check
from spa.engine.kept_check import find_check
from spa.engine.models import ModelPool
from spa.engine.pipeline import run_recipe
from spa.engine.stages.judge import judge_stage
from spa.errors import RecipeError
from spa.evaluation.probes import Probe, ProbeSet, choose_probes, read_probes
from spa.recipe import Recipe
from spa.types import LabelRequest, Message, RunEvent, Score

Load = Callable[..., Recipe]
NAMES = ("harmlessness", "helpfulness")


def shipped(limit: int = 4) -> ProbeSet:
    probes, sources = read_probes()
    return choose_probes(probes, NAMES, limit=limit, sources=sources)


def own(count: int) -> ProbeSet:
    asked = [(n, NAMES[n % 2], (Message("user", f"Question {n}?"),)) for n in range(count)]
    probes = [Probe(f"p{n}", turns, of, (f"good {n}",), (f"bad {n}",)) for n, of, turns in asked]
    return ProbeSet(tuple(probes), {"honesty": 3}, ("own",))


def found_by(recipe: Recipe, runs: Path) -> dict[str, Any] | None:
    pool = ModelPool()
    try:
        return find_check(RunContext("r", recipe, runs, pool, Interrupt(), lambda _: None))
    finally:
        pool.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every request to a model."""
    requests: list[Any] = []
    original = HFBackend.answer

    def noted(self: HFBackend, given: Sequence[Any]) -> Any:
        requests.extend(given)
        return original(self, given)

    monkeypatch.setattr(HFBackend, "answer", noted)
    return requests


def scoring(monkeypatch: pytest.MonkeyPatch, score: Callable[[str], float | None]) -> None:
    """Makes the recipe's judge one that asks nothing and scores by the text alone."""

    def scores(self: Any, prompt: Any, response: Any, objectives: Any) -> Mapping[str, Score]:
        value = score(response.text)
        reason = None if value is not None else "unparsable"
        return {o.name: Score(value, reason) for o in objectives}

    monkeypatch.setattr(ConstitutionJudge, "score", scores)


def test_every_answer_is_scored_as_in_a_run_and_compared_in_both_orders(
    recipe: Load, tmp_path: Path, asked: list[Any]
) -> None:
    events: list[RunEvent] = []
    loaded = recipe(["evaluate=[{use: pairwise, min_label_mass: 0, per_objective: true}]"])
    result = run_judge_check(loaded, shipped(), runs=tmp_path / "runs", listen=events.append)
    scores = [r for r in asked if isinstance(r, LabelRequest) and len(r.labels) == 9]
    orders = [r for r in asked if isinstance(r, LabelRequest) and len(r.labels) == 2]
    assert (len(scores), len(orders), len(asked)) == (16, 8, 24)
    assert [e.stage for e in events if e.kind == "stage_finished"] == list(STAGES)
    assert (result["asks"], result["probes"], result["skipped"]) == (True, 4, {"honesty": 16})
    assert result["parameters"] > 10_000
    assert [each["objective"] for each in result["objectives"]] == list(NAMES)
    overall = result["overall"]
    assert (overall["responses"], overall["prompts"], overall["unscored"]) == (8, 4, 0.0)
    assert 0 < overall["label_mass"] < 1
    assert 0 <= overall["flips"] <= 1
    assert result["verdict"] == "plumbing only", "four prompts say nothing"


def test_the_same_check_again_asks_nothing(recipe: Load, tmp_path: Path, asked: list[Any]) -> None:
    first = run_judge_check(recipe(), shipped(), runs=tmp_path / "runs")
    asked.clear()
    # What only a run is about makes no difference, and neither do several rounds.
    other = recipe(["loss.beta=9", "iterations=2"])
    assert run_judge_check(other, shipped(), runs=tmp_path / "runs") == first
    assert asked == []


def test_a_judge_with_nothing_left_to_ask_still_asks_a_model(
    recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the check was interrupted after its last answer and goes on."""

    def resumed(context: RunContext, *given: Any) -> Any:
        rows = judge_stage(context, *given)
        details = {**context.stages[-1].details, "asked": 0, "replayed": 0}
        context.stages[-1] = replace(context.stages[-1], details=details)
        return rows

    monkeypatch.setattr(judge_check, "judge_stage", resumed)
    assert run_judge_check(recipe(), shipped(2), runs=tmp_path / "runs")["asks"]


def test_members_are_checked_ahead_and_no_other_model_is_asked_for_flips(
    recipe: Load, tmp_path: Path, tiny_folder: Path, asked: list[Any]
) -> None:
    member = "{use: constitution, min_label_mass: 0.0"
    other = f"{member}, backend: {{use: hf, path: {tiny_folder}, chat_template_kwargs: {{a: 1}}}}}}"
    loaded = recipe([f"judge={{use: ensemble, members: [{member}}}, {other}]}}"])
    result = run_judge_check(loaded, shipped(2), runs=tmp_path / "runs")
    assert {len(request.labels) for request in asked} == {9}
    assert (result["asks"], result["overall"]["flips"]) == (True, None)
    alike = f"{member}, repeats: 1, min_scored: 0.6}}"
    pairwise = "evaluate=[{use: pairwise, min_label_mass: 0}]"
    loaded = recipe([f"judge={{use: ensemble, members: [{member}}}, {alike}]}}", pairwise])
    result = run_judge_check(loaded, shipped(2), runs=tmp_path / "runs")
    assert result["overall"]["flips"] is not None
    bad = "{use: constitution, labels: ['10', '20']}"
    loaded = recipe([f"judge={{use: ensemble, members: [{member}}}, {bad}]}}"])
    with pytest.raises(RecipeError, match=r"judge\.members\.1: label '10' is not one token"):
        run_judge_check(loaded, shipped(2), runs=tmp_path / "runs")


def test_more_readings_of_a_score_each_tell_their_label_mass(recipe: Load, tmp_path: Path) -> None:
    plain = run_judge_check(recipe(), shipped(2), runs=tmp_path / "runs")
    both = recipe(["judge.orders=[as-given, reversed]"])
    found = run_judge_check(both, shipped(2), runs=tmp_path / "runs")
    assert 0 < found["overall"]["label_mass"] < 1
    assert found["overall"]["label_mass"] != plain["overall"]["label_mass"]


@pytest.mark.parametrize(
    ("score", "verdict", "auc"),
    [
        (lambda text: float(text.startswith("good")), "usable", 1.0),
        (lambda text: float(text.startswith("bad")), "plumbing only", 0.0),
        (lambda text: 5.0, "plumbing only", 0.5),
        (lambda text: None, "plumbing only", None),
    ],
)
def test_a_judge_that_asks_no_model(
    recipe: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[Any],
    score: Any,
    verdict: str,
    auc: float | None,
) -> None:
    scoring(monkeypatch, score)
    result = run_judge_check(recipe(), own(12), runs=tmp_path / "runs")
    assert (result["verdict"], result["overall"]["auc"]) == (verdict, auc)
    assert (result["asks"], result["parameters"], result["overall"]["flips"]) == (False, None, None)
    assert asked == []
    assert found_by(recipe(), tmp_path / "runs") == result


def test_an_answer_that_cannot_be_judged_is_unscored(
    recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(text: str) -> float:
        if text == "bad 3":
            raise ValueError("no")
        return float(text.startswith("good"))

    scoring(monkeypatch, broken)
    result = run_judge_check(recipe(), own(12), runs=tmp_path / "runs")
    assert result["overall"]["unscored"] == pytest.approx(1 / 24)
    assert result["overall"]["prompts"] == 11


def test_a_run_finds_the_check_of_its_judge(
    recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    before = run_recipe(recipe(), runs=runs)
    assert before.manifest["judge_check"] is None
    checked = run_judge_check(recipe(), shipped(), runs=runs)
    after = run_recipe(recipe(["loss.beta=3"]), runs=runs)
    assert after.manifest["judge_check"] == checked
    (folder,) = runs.glob("store/judge-check-*")
    assert sorted(path.name for path in folder.iterdir()) == ["result.json", "stage.json"]


@pytest.mark.parametrize(
    "setting",
    [
        "judge.min_label_mass=0.1",
        "judge.orders=[as-given, reversed]",
        "model.dtype=bfloat16",
        "objectives.0.definition=Is it kind?",
    ],
)
def test_another_judge_is_not_taken_for_checked(recipe: Load, tmp_path: Path, setting: str) -> None:
    run_judge_check(recipe(), shipped(2), runs=tmp_path / "runs")
    assert found_by(recipe(), tmp_path / "runs") is not None
    assert found_by(recipe([setting]), tmp_path / "runs") is None


def test_the_latest_check_counts(recipe: Load, tmp_path: Path) -> None:
    for count in (2, 4, 2):
        run_judge_check(recipe(), shipped(count), runs=tmp_path / "runs")
        found = found_by(recipe(), tmp_path / "runs")
        assert found is not None
        assert found["probes"] == count


def test_a_result_that_cannot_be_read_counts_as_none(recipe: Load, tmp_path: Path) -> None:
    run_judge_check(recipe(), shipped(2), runs=tmp_path / "runs")
    (file,) = (tmp_path / "runs").glob("store/judge-check-*/result.json")
    file.write_text("{", encoding="utf-8")
    assert found_by(recipe(), tmp_path / "runs") is None


def test_labels_that_the_model_cannot_give_are_refused_first(recipe: Load, tmp_path: Path) -> None:
    odd = recipe(["judge.labels=[one or two, three or four]", "judge.values=[1, 2]"])
    with pytest.raises(RecipeError) as caught:
        run_judge_check(odd, shipped(), runs=tmp_path / "runs")
    (problem,) = caught.value.problems
    assert problem.path == "judge"
    assert "'one or two'" in problem.message
    assert not (tmp_path / "runs").exists()
