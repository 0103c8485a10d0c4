"""What one edition of a stage takes over from the one before."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from spa.engine.editions import Earlier, newest_edition
from spa.engine.failing import FailureLimit, TooManyFailures, counted, worth_retrying
from spa.engine.keys import edition_key
from spa.engine.rows import JudgedRow, VerdictRow
from spa.engine.store import FailedJob, RowWriter, StageFolder
from spa.errors import RunError
from spa.types import PreferencePair, RequestFailure, Score

JOBS = ["a", "b", "c", "d"]


def pair(prompt: str, chosen: str) -> PreferencePair:
    return PreferencePair(prompt, chosen, "x", (0.1,), (0.2,), 0.3, 0.4)


def committed(path: Path) -> StageFolder[PreferencePair]:
    """Two pairs of a, none of b; c and d failed."""
    folder = StageFolder(path, PreferencePair)
    writer = RowWriter(folder)
    writer.rows(0, "a", [pair("a", "1"), pair("a", "2")])
    writer.rows(1, "b", [])
    writer.fail("c", RequestFailure("timeout", "m"))
    writer.fail("d", RequestFailure("too_long", "m"))
    writer.commit({"jobs": 4})
    return folder


def test_what_was_done_is_carried_over_and_what_may_pass_is_left_to_do(tmp_path: Path) -> None:
    earlier = Earlier(committed(tmp_path / "0"), worth_retrying)
    assert set(earlier.again) == {"c"}
    folder = StageFolder(tmp_path / "1", PreferencePair)
    for _ in range(2):  # the second time after an interruption
        writer = RowWriter(folder)
        copied = list(earlier.carry_over(iter(enumerate(JOBS)), writer))
        assert set(writer.failures) == {"d"}
        assert [writer.has(place, job) for place, job in enumerate(JOBS)] == [
            True,
            True,
            False,
            False,
        ]
        writer.close()
    assert copied == []  # they were there already
    writer = RowWriter(folder)
    list(earlier.carry_over(iter(enumerate(JOBS)), writer))
    writer.rows(2, "c", [pair("c", "1")])
    writer.commit({"jobs": 4})
    assert list(folder.read()) == [pair("a", "1"), pair("a", "2"), pair("c", "1")]
    assert folder.failed_jobs() == {"d": FailedJob("d", "too_long", "m", 1)}


def test_attempts_go_on_from_those_of_the_edition_before(tmp_path: Path) -> None:
    earlier = Earlier(committed(tmp_path / "0"), worth_retrying)
    writer = RowWriter(StageFolder(tmp_path / "1", PreferencePair))
    list(earlier.carry_over(iter(enumerate(JOBS)), writer))
    writer.fail("c", RequestFailure("timeout", "again"))
    writer.commit({"jobs": 4})
    attempts = {job: each.attempts for job, each in writer.folder.failed_jobs().items()}
    assert attempts == {"c": 2, "d": 1}


def test_rows_of_other_jobs_are_refused(tmp_path: Path) -> None:
    earlier = Earlier(committed(tmp_path / "0"), worth_retrying)
    with (
        closing(RowWriter(StageFolder(tmp_path / "1", PreferencePair))) as writer,
        pytest.raises(RunError, match="rows of 'a' belong to no job"),
    ):
        list(earlier.carry_over(iter(enumerate("xyz")), writer))


def test_judgements_are_carried_over_by_response(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "0", JudgedRow)
    writer = RowWriter(folder)
    row = JudgedRow("p/s0", "p", {"h": Score(1.25, None, {"mass": 0.1})})
    writer.rows(0, "p/s0", [row])
    writer.fail("p/s1", RequestFailure("timeout", "m"))
    writer.commit({"jobs": 2})
    jobs = iter(enumerate(["p/s0", "p/s1"]))
    with closing(RowWriter(StageFolder(tmp_path / "1", JudgedRow))) as newer:
        assert list(Earlier(folder, worth_retrying).carry_over(jobs, newer)) == [row]


def test_the_first_edition_has_the_key_of_the_stage() -> None:
    keys = [edition_key("k", edition) for edition in range(4)]
    assert keys[0] == "k"
    assert len(set(keys)) == 4
    assert edition_key("k", 2) != edition_key(edition_key("k", 1), 1)


def test_the_newest_edition_is_the_last_of_an_unbroken_row() -> None:
    assert newest_edition(0, {1, 2, 4}.__contains__) == 2
    assert newest_edition(2, {1, 2}.__contains__) == 2


def test_the_commonest_reasons_are_named() -> None:
    reasons = {"a": 1, "b": 20, "c": 3, "d": 2000, "e": 1}
    assert counted(reasons) == "2,000 d, 20 b, 3 c, 1 a, 1 e"
    assert counted(reasons, 2) == "2,000 d, 20 b, 5 for other reasons"
    failures = {f"p{i}": RequestFailure(reason, f"{reason}!") for i, reason in enumerate("abbc")}
    error = TooManyFailures("judge", FailureLimit("3", rows=3), failures, None, committed=True)
    assert str(error) == (
        "stage judge: 4 rows failed, more than --max-failures 3 allows: 2 b, 1 a, 1 c. "
        "For example p1: b! (b). What was done is kept."
    )


def test_rows_of_every_type_are_known_by_their_job(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "0", VerdictRow)
    writer = RowWriter(folder)
    writer.rows(0, "p", [VerdictRow("p", True, "", "kept")])
    writer.fail("q", RequestFailure("timeout", "m"))
    writer.commit({"jobs": 2})
    jobs = iter(enumerate(["p", "q"]))
    with closing(RowWriter(StageFolder(tmp_path / "1", VerdictRow))) as newer:
        assert len(list(Earlier(folder, worth_retrying).carry_over(jobs, newer))) == 1
