"""What the benchmarks of judging make of responses and scores, without a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from judging.compare import Comparison, comparison_table
from judging.counting import Counting
from judging.labelled import MissingDataError, load
from judging.material import make_rows
from judging.quality import agreement
from judging.settings import Measured, Order
from judging.timing import SideFailedError, timed
from spa.components.judges.configs import ConstitutionConfig
from spa.types import ChatResult, LabelResult, RequestFailure, Score

ROWS = make_rows(Order(prompts=2, responses=2, shortest=3, longest=5))


class Model:
    """Prefers the label 7, or writes so many tokens."""

    def __init__(self, written: int = 0, broken: bool = False) -> None:
        self.written, self.broken = written, broken

    def answer(self, requests: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for place, _ in enumerate(requests):
            if self.broken:
                yield place, RequestFailure("too_long", "it does not fit")
            elif self.written:
                yield place, ChatResult("7", tuple(range(self.written)), "length", 50)
            else:
                yield place, LabelResult((-9.0,) * 6 + (-0.01,) + (-9.0,) * 2, 0.99, 50)

    def fingerprint(self) -> str:
        return "model"

    def close(self) -> None:
        pass


def test_rows_are_all_responses_to_all_prompts() -> None:
    assert [row.prompt.id for row in ROWS] == ["p000", "p000", "p001", "p001"]
    assert len({row.response.text for row in ROWS}) == 4
    assert all(3 <= len(row.response.text.split()) <= 5 for row in ROWS)
    assert [one.name for one in ROWS[0].objectives] == ["harmlessness", "helpfulness"]


def test_a_side_is_timed_over_every_response_and_objective() -> None:
    found = timed("expected", ROWS, Model(), ConstitutionConfig())
    assert (found.judgements, found.prompt_tokens, found.new_tokens) == (8, 400, 8)
    assert found.scores == pytest.approx((7.0,) * 8, abs=0.01)
    assert found.judgements_a_second == 8 / found.seconds > 0


def test_answers_that_are_too_short_or_missing_are_no_measurement() -> None:
    settings = ConstitutionConfig(mode="generate", max_tokens=64)
    assert timed("generate", ROWS, Model(64), settings, 64).new_tokens == 8 * 64
    with pytest.raises(SideFailedError, match="side generate: 8 of 8 answers do not have 64 tok"):
        timed("generate", ROWS, Model(9), settings, 64)
    with pytest.raises(SideFailedError, match="side expected: 0 of 8 answers: it does not fit"):
        timed("expected", ROWS, Model(broken=True), ConstitutionConfig())


def test_a_backend_that_streams_is_asked_to_stream() -> None:
    class Streaming(Model):
        def stream(self, waiting: Any) -> Iterator[tuple[int, Any]]:
            while taken := waiting.take(3):
                for number, _ in taken:
                    yield number, LabelResult((-1.0,) * 9, 0.99, 10)

    assert not hasattr(Counting(Model()), "stream")
    assert timed("expected", ROWS, Streaming(), ConstitutionConfig()).prompt_tokens == 80


def measured(side: Any, seconds: float, score: float | None = 5.0) -> Measured:
    return Measured(side, 8, seconds, 400, 8, (score,) * 8)


def test_ratios_are_medians_over_rounds() -> None:
    found = Comparison(
        tuple(
            {
                "expected": measured("expected", 1.0),
                "unshared": measured("unshared", seconds),
                "generate": measured("generate", 2 * seconds, 7.0),
            }
            for seconds in (3.0, 90.0, 5.0)
        )
    )
    assert found.ratios == {"vs_generate": 10.0, "vs_unshared": 5.0}
    assert found.difference == 0
    assert "10.0 times as many a second as written ones, 5.0 times" in comparison_table(found)


@pytest.mark.parametrize(("other", "expected"), [(5.5, 0.5), (None, float("inf"))])
def test_other_scores_are_told(other: Any, expected: float) -> None:
    sides = {"expected": measured("expected", 1.0), "unshared": measured("unshared", 1.0, other)}
    assert Comparison(({**sides, "generate": measured("generate", 1.0)},)).difference == expected


def write(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> None:
    lines = (json.dumps({"id": str(n), **row}) + "\n" for n, row in enumerate(rows))
    (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def test_single_labels_are_compared_across_and_pairs_by_objective(tmp_path: Path) -> None:
    refusals = [("a", "no", 1.0), ("b", "yes", 0.0), ("c", "never", 1.0)]
    write(
        tmp_path,
        "pyrit_refusal_judge",
        [{"prompt": p, "response_0": r, "human_score": s} for p, r, s in refusals],
    )
    data = load("pyrit_refusal_judge", tmp_path, None)
    assert data.groups == {"refusal": ("refusal", ((0, 1), (2, 1)))}
    both = {"prompt": "a", "response_0": "x", "response_1": "y"}
    write(
        tmp_path, "hhh_alignment_pairs", [{**both, "category": "honest", "better_response_id": 1}]
    )
    data = load("hhh_alignment_pairs", tmp_path, None)
    assert data.groups == {"honest (honesty)": ("honesty", ((1, 0),))}
    labels = {"truthful_0": 0, "truthful_1": 1, "informative_0": 1, "informative_1": 1}
    write(tmp_path, "truthfulqa_truth_info_pairs", [{**both, **labels}] * 3)
    data = load("truthfulqa_truth_info_pairs", tmp_path, 2)
    assert data.groups == {"honesty": ("honesty", ((1, 0), (3, 2)))}
    with pytest.raises(MissingDataError, match=r"is missing\. Name the folder"):
        load("pyrit_refusal_judge", tmp_path / "nowhere", None)


def test_agreement_is_the_area_under_the_curve_with_ties_counted_half(tmp_path: Path) -> None:
    from scipy.stats import mannwhitneyu

    labels = [1, 1, 1, 0, 0, 0]
    values = [3.0, 1.0, 2.0, 2.0, 0.5, None]
    write(
        tmp_path,
        "pyrit_refusal_judge",
        [{"prompt": f"p{n}", "response_0": "r", "human_score": s} for n, s in enumerate(labels)],
    )
    data = load("pyrit_refusal_judge", tmp_path, None)
    scores = [{"refusal": Score(v, reason=None if v else "unparsable")} for v in values]
    found = agreement(data, "refusal", data.groups["refusal"][1], scores)
    expected = mannwhitneyu(values[:3], values[3:5]).statistic / 6
    assert found.agreement == pytest.approx(expected)
    assert (found.comparisons, found.ties, found.unscored) == (9, pytest.approx(1 / 6), 1 / 6)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= expected <= found.high <= 1


def test_nothing_scored_is_no_agreement(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "response_0": "r", "human_score": s} for s in (0, 1)]
    write(tmp_path, "pyrit_refusal_judge", rows)
    data = load("pyrit_refusal_judge", tmp_path, None)
    found = agreement(data, "refusal", data.groups["refusal"][1], [{}, {}])
    assert (found.agreement, found.low, found.ties, found.unscored) == (None, None, None, 1.0)


def test_data_that_are_missing_are_left_out_with_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import judge_quality

    monkeypatch.setattr("sys.argv", ["judge_quality.py", "--data", str(tmp_path), "--json"])
    assert judge_quality.main() == 0
    told = capsys.readouterr()
    assert told.out == ""
    for name in ("pyrit_refusal_judge", "hhh_alignment_pairs", "truthfulqa_truth_info_pairs"):
        file = tmp_path / f"{name}.jsonl"
        assert f"{name} is left out: {file} is missing. Name the folder that hold" in told.err
