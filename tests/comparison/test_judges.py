"""Which judges are compared, on which samples, and what is said of the curve."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged_run import make_judged_run, sample_ids

from spa.comparison.judges import JudgesAgreement, agreements
from spa.comparison.judges_formats import as_csv, as_json, left_out_line, reading, suggested_tau
from spa.engine.stored_run import open_run
from spa.errors import UsageError
from spa.evaluation.rv import rv

PROMPTS, SAMPLES = 60, 4


PATTERN = np.array([[0, 0], [1, 0], [0, 1], [1.5, 2]])


def scores(seed: int, agree: float = 1.0) -> dict[str, Any]:
    """Spread rises from prompt to prompt; beyond a share of the prompts it is all noise."""
    rng = np.random.default_rng(seed)
    found = {}
    for place, sample in enumerate(sample_ids(PROMPTS, SAMPLES)):
        prompt, number = divmod(place, SAMPLES)
        spread = 1 + prompt / 20
        noise = spread * rng.normal(size=2)
        quality = spread * PATTERN[number] + 0.01 * noise
        found[sample] = (5 + (quality if prompt < agree * PROMPTS else noise)).tolist()
    return found


def compared(*folders: Path, **options: Any) -> list[JudgesAgreement]:
    return agreements([open_run(folder) for folder in folders], resamples=100, **options)


def test_runs_that_share_their_samples(tmp_path: Path) -> None:
    weak, strong = scores(1), scores(2)
    bound = [{"use": "spa-align/consistency"}, {"use": "spa-align/informativeness"}]
    bound[1] |= {"max_determinant": 2.0, "relative_tolerance": 1e-5}  # type: ignore[dict-item]
    first = make_judged_run(tmp_path, "weak", weak, denoise=bound)
    (found,) = compared(first, make_judged_run(tmp_path, "strong", strong), points=10)
    assert (found.first, found.second) == ("weak (constitution)", "strong (constitution)")
    assert (found.prompts, found.left_out) == (PROMPTS, {})
    values = [np.array(list(each.values())) for each in (weak, strong)]
    assert found.steps[-1].overall.rv == pytest.approx(rv(*values), abs=1e-9)
    by_prompt = values[0].reshape(PROMPTS, SAMPLES, 2)
    determinants = sorted(np.linalg.det(np.cov(each.T, ddof=1)) for each in by_prompt)
    assert [step.determinant for step in found.steps] == pytest.approx(determinants[5::6])
    assert (found.tau, found.within_tau) == (2.0, sum(d <= 2.0 for d in determinants))


def test_members_of_one_judge_are_each_compared_with_the_first(tmp_path: Path) -> None:
    judges = [scores(1), scores(2), scores(3)]
    found = compared(make_judged_run(tmp_path, "both", *judges), points=3)
    assert [each.first for each in found] == ["member 1 (constitution)"] * 2
    assert [each.second[:8] for each in found] == ["member 2", "member 3"]
    for each, other in zip(found, judges[1:], strict=True):
        values = [np.array(list(scored.values())) for scored in (judges[0], other)]
        assert each.steps[-1].overall.rv == pytest.approx(rv(*values), abs=1e-9)


def test_what_a_judge_did_not_score_takes_no_part(tmp_path: Path) -> None:
    weak, strong = scores(1), scores(2)
    weak["p000/s0"] = [None, 4.0]
    del strong["p001/s0"], strong["p001/s1"]  # rows that failed
    for sample in range(SAMPLES):
        weak[f"p002/s{sample}"] = [5.0, 5.0]
    folders = [make_judged_run(tmp_path, name, each) for name, each in (("a", weak), ("b", strong))]
    (found,) = compared(*folders, points=1)
    assert found.left_out == {"too_few_samples": 1, "degenerate": 1}
    assert found.steps[0].groups == PROMPTS - 2
    assert found.steps[0].answers == (PROMPTS - 2) * SAMPLES - 1
    line = left_out_line(found)
    assert line == "58 of 60 prompts; left out: 1 degenerate, 1 too_few_samples"


def test_the_same_texts_in_another_stage_are_the_same_samples(tmp_path: Path) -> None:
    one, two = scores(1), scores(2)
    first = make_judged_run(tmp_path / "here", "first", one)
    moved = make_judged_run(tmp_path / "there", "second", two)
    assert compared(first, moved, points=1)[0].steps[0].groups == PROMPTS
    other = make_judged_run(tmp_path / "here", "other", two, samples="sample-other")
    with pytest.raises(UsageError, match="first and other did not judge the same samples"):
        compared(first, other)


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    run = make_judged_run(tmp_path, "alone", scores(1))
    with pytest.raises(UsageError, match="has one judge, and two are needed"):
        compared(run)
    with pytest.raises(UsageError, match="a run is named twice"):
        compared(run, run)
    other = make_judged_run(tmp_path, "other", scores(2))
    with pytest.raises(UsageError, match=r"stage 'judge' of round 2. Rounds that did: 1"):
        compared(run, other, number=2)


@pytest.fixture
def found(tmp_path: Path) -> JudgesAgreement:
    folders = [
        make_judged_run(tmp_path, name, scores(1, agree))
        for name, agree in (("weak", 1.0), ("strong", 0.5))
    ]
    return compared(*folders)[0]


def test_a_supported_bend_is_a_reading_and_not_a_verdict(found: JudgesAgreement) -> None:
    assert found.bend is not None
    assert found.bend.is_supported
    assert 0.4 <= found.bend.step.share <= 0.6
    assert suggested_tau(found) == found.bend.step.determinant
    text = " ".join(reading(replace(found, tau=4.0, within_tau=31)))
    assert "RV bends down after 50% of the groups, at det(S) = " in text
    assert "suggest a tau (max_determinant) of" in text
    assert "a reading, not a verdict" in text
    assert "The tau of the recipe, 4, admits 31 of the 60 groups." in text


def test_a_bend_that_chance_explains_suggests_nothing(found: JudgesAgreement) -> None:
    assert found.bend is not None
    doubtful = replace(found, bend=replace(found.bend, low=-0.1))
    assert suggested_tau(doubtful) is None
    assert "no upper bound is to be read" in reading(doubtful)[-1]
    assert any("does not bend down" in line for line in reading(replace(found, bend=None)))
    assert reading(replace(found, steps=(), bend=None)) == [
        "No group has a determinant above 0, so there is no curve."
    ]


def test_judges_that_have_nothing_in_common_are_told_of(tmp_path: Path) -> None:
    folders = [
        make_judged_run(tmp_path, name, scores(seed, agree))
        for seed, (name, agree) in enumerate((("weak", 1.0), ("noise", 0.0)))
    ]
    (found,) = compared(*folders, points=2)
    assert (
        "Over all groups the judges agree no more than chance explains: RV 0.0" in reading(found)[0]
    )


def test_formats_hold_the_same_figures(found: JudgesAgreement) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv([found]))))
    (record,) = as_json([found])
    assert isinstance(record, dict)
    steps: Any = record["steps"]
    assert len(rows) == len(steps) == len(found.steps)
    assert float(rows[-1]["rv"]) == steps[-1]["rv"] == found.steps[-1].overall.rv
    assert float(rows[-1]["within_rv"]) == found.steps[-1].within.rv
    bend: Any = record["bend"]
    assert bend["supported"] is True
    assert record["suggested_tau"] == bend["determinant"]
