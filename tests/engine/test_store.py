"""A stage's folder: rows as they come, commit, resume."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from spa.engine.answers import AnswerLog, request_key
from spa.engine.lines import seal
from spa.engine.records import schema_of
from spa.engine.rows import JudgedRow, NamedVerdict, VerdictRow
from spa.engine.store import FailedJob, RowWriter, StageFolder
from spa.errors import RunError
from spa.types import (
    ChatRequest,
    ChatResult,
    LabelRequest,
    LabelResult,
    Message,
    PreferencePair,
    Prompt,
    RequestFailure,
    Response,
    Score,
)

ROWS = [
    Prompt(
        "p",
        (Message("system", "s"), Message("user", "ü \u2028 {}")),
        "heldout",
        {"a": [1, {"b": None}]},
    ),
    Response("text", (1, 2), "length", {"system": None, "t": 0.5}, "p/s0", "p", "sample", 3),
    JudgedRow("p/s0", "p", {"h": Score(1.5, None, {"mass": 0.9}), "k": Score(None, "unparsable")}),
    VerdictRow("p", False, "x", "y", ("a",), (NamedVerdict("x", False, "y", {"det": 0.1}),)),
    PreferencePair("p", "a", "b", (1.0, 2.0), (0.5, 2.5), 1.0, 0.0),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_rows_come_back_as_they_were(tmp_path: Path, row: object) -> None:
    folder = StageFolder(tmp_path / "s", type(row))
    writer = RowWriter(folder)
    writer.rows(0, "job", [row, row])
    writer.commit({"jobs": 1})
    assert list(folder.read()) == [row, row]
    assert folder.info()["rows"] == 2


def test_scores_are_typed_columns() -> None:
    schema = schema_of(JudgedRow)
    assert str(schema.field("scores").type).startswith("map<string, struct<value: double")


def test_a_type_that_rows_do_not_use_is_refused() -> None:
    from dataclasses import dataclass

    @dataclass
    class Odd:
        value: complex

    with pytest.raises(TypeError, match="rows cannot hold a field of type <class 'complex'>"):
        schema_of(Odd)


def test_rows_are_stored_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "s", Prompt)
    writer = RowWriter(folder)
    for place, name in ((2, "c"), (0, "a"), (1, "b")):
        writer.rows(place, name, [Prompt(name, ())])
    writer.commit({})
    assert [prompt.id for prompt in folder.read()] == ["a", "b", "c"]
    assert sorted(p.name for p in folder.path.iterdir()) == ["data.parquet", "stage.json"]
    assert pq.read_table(folder.path / "data.parquet").column("id").to_pylist() == ["a", "b", "c"]


def test_a_stage_that_died_goes_on_and_tries_failed_jobs_again(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "s", Prompt)
    first = RowWriter(folder)
    first.rows(0, "a", [Prompt("a", ())])
    first.fail("b", RequestFailure("too_long", "m"))
    first.close()
    with (folder.path / "part-00000.jsonl").open("ab") as part:
        part.write(b'{"job":"c","ro')
    assert not folder.is_committed
    second = RowWriter(folder)
    assert second.done == 1
    assert [second.has(place, job) for place, job in enumerate("abc")] == [True, False, False]
    assert not second.has(0, "another")
    assert second.failures == {}
    second.rows(2, "c", [Prompt("c", ())])
    second.fail("b", RequestFailure("too_long", "again"))
    second.commit({})
    assert folder.is_committed
    assert [prompt.id for prompt in folder.read()] == ["a", "c"]
    assert folder.info()["failure_reasons"] == {"too_long": 1}
    assert folder.failures() == {"b": RequestFailure("too_long", "again")}


def test_attempts_are_counted_over_restarts(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "s", Prompt)
    for attempt in range(3):
        writer = RowWriter(folder)
        writer.fail("a", RequestFailure("timeout", f"try {attempt} \ud800"))
        if not attempt:
            writer.fail("b", RequestFailure("timeout", "once"))
        writer.close()
    last = RowWriter(folder)
    last.rows(1, "b", [Prompt("b", ())])
    last.fail("a", RequestFailure("server_error", "the last one"))
    last.commit({})
    assert folder.failed_jobs() == {"a": FailedJob("a", "server_error", "the last one", 4)}
    assert len((folder.path / "failures.jsonl").read_bytes().splitlines()) == 1
    assert folder.info()["failed"] == 1


def test_failures_of_before_attempts_were_counted_are_read(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "s", Prompt)
    folder.path.mkdir()
    line = seal(b'{"job": "a", "reason": "too_long", "message": "m"}')
    (folder.path / "failures.jsonl").write_bytes(line + b"\n")
    assert folder.failed_jobs()["a"].attempts == 1


def test_failures_are_read_without_opening_for_writing(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "s", Prompt)
    writer = RowWriter(folder)
    writer.fail("a", RequestFailure("too_long", "m"))
    writer.rows(1, "b", [Prompt("b", ())])
    writer.commit({})
    before = {path.name: path.stat().st_mtime_ns for path in folder.path.iterdir()}
    opened: list[str] = []
    original = Path.open

    def noted(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        opened.append(mode)
        return original(self, mode, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", noted)
        assert folder.failures() == {"a": RequestFailure("too_long", "m")}
    assert opened == ["rb"]
    assert {path.name: path.stat().st_mtime_ns for path in folder.path.iterdir()} == before


def test_two_runs_at_one_stage_lose_and_mix_up_nothing(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "s", Prompt)
    first, second = RowWriter(folder), RowWriter(folder)
    # Lines of one length, so that each lies where the other process expects another one.
    for place, name in enumerate("abc"):
        first.rows(place, name, [Prompt(name, ())])
    second.rows(2, "c", [Prompt("c", ())])
    second.close()
    with pytest.raises(RunError, match="another run worked on this stage at the same time"):
        first.commit({})
    first.close()
    assert not folder.is_committed
    again = RowWriter(folder)
    assert [again.has(place, job) for place, job in enumerate("abc")] == [True] * 3
    again.commit({})
    assert [prompt.id for prompt in folder.read()] == ["a", "b", "c"]


def test_answers_are_found_again_by_their_request(tmp_path: Path) -> None:
    chat = ChatRequest((Message("user", "a"),), seed=1)
    label = LabelRequest((Message("user", "a"),), ("1", "2"))
    results = {
        request_key(chat): ChatResult("t", (1,), "stop", 2),
        request_key(label): LabelResult((-0.1, -math.inf), 0.9, 4),
    }
    log = AnswerLog(tmp_path / "answers.jsonl")
    for key, result in results.items():
        log.keep(key, result)
    log.close()
    again = AnswerLog(tmp_path / "answers.jsonl")
    assert {key: again.find(key) for key in results} == results
    assert again.find(request_key(ChatRequest((Message("user", "a"),), seed=2))) is None
    again.close()


def test_rows_of_an_interrupted_stage_can_be_looked_at(tmp_path: Path) -> None:
    row = JudgedRow("p/s0", "p", {"h": Score(None, "unparsable")})
    writer = RowWriter(StageFolder(tmp_path / "s", JudgedRow))
    writer.rows(0, "job", [row])
    writer.close()
    again = RowWriter(StageFolder(tmp_path / "s", JudgedRow))
    assert list(again.kept()) == [row]
    again.rows(1, "other", [row])
    assert list(again.kept()) == [row, row]
    again.close()


def test_what_a_row_cannot_hold_is_refused_when_it_is_written(tmp_path: Path) -> None:
    writer = RowWriter(StageFolder(tmp_path / "s", Response))
    with pytest.raises(TypeError, match=r"Expected `str`, got `null` - at `\$\[0\]\.text`"):
        writer.rows(0, "job", [Response(None)])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Encoding objects of type object is unsupported"):
        writer.rows(0, "job", [Response("", details={"a": object()})])  # type: ignore[dict-item]
    assert writer.done == 0
    writer.close()


def test_numbers_may_be_those_of_numpy(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "s", PreferencePair)
    writer = RowWriter(folder)
    gap: Any = np.float32(0.5)
    writer.rows(0, "job", [PreferencePair("p", "a", "b", (np.float64(1.5), 2), (0.5, 1), gap, 0.0)])
    for wrong in (True, np.bool_(True), np.ones(2), "1"):
        with pytest.raises(TypeError):
            writer.rows(1, "j", [PreferencePair("p", "a", "b", (), (), wrong, 0.0)])  # type: ignore[arg-type]
    writer.commit({})
    assert list(folder.read()) == [PreferencePair("p", "a", "b", (1.5, 2.0), (0.5, 1.0), 0.5, 0.0)]
    details = StageFolder(tmp_path / "d", JudgedRow)
    writer = RowWriter(details)
    writer.rows(
        0, "job", [JudgedRow("r", "p", {"h": Score(1.0, None, {"mass": np.float64(0.25)})})]
    )
    writer.commit({})
    (row,) = details.read()
    assert row.scores["h"].details == {"mass": 0.25}


@pytest.mark.parametrize("byte", range(0, 150, 7))
def test_a_flipped_bit_costs_the_rows_of_one_job(
    tmp_path: Path, byte: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = StageFolder(tmp_path / "s", Prompt)
    writer = RowWriter(folder)
    for place, name in enumerate("abc"):
        writer.rows(place, name, [Prompt(name, (Message("user", name * 90),))])
    writer.close()
    part = folder.path / "part-00000.jsonl"
    content = bytearray(part.read_bytes())
    length = content.index(b"\n") + 1
    content[length + byte] ^= 4
    part.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        again = RowWriter(folder)
    assert [again.has(place, job) for place, job in enumerate("abc")] == [True, False, True]
    assert f"{part}: 1 lines are damaged (line 2) and left out" in caplog.text
    again.rows(1, "b", [Prompt("b", ())])
    again.commit({})
    assert [prompt.id for prompt in folder.read()] == ["a", "b", "c"]


def test_damaged_answers_are_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    keys = [request_key(ChatRequest((Message("user", text),))) for text in "abc"]
    log = AnswerLog(path)
    for key in keys:
        log.keep(key, ChatResult("text", (1,), "stop", 2))
    log.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again = AnswerLog(path)
    found = [again.find(key) is not None for key in keys]
    assert found == [True, False, True]
    again.keep(keys[1], ChatResult("new", (1,), "stop", 2))
    assert again.find(keys[1]) == ChatResult("new", (1,), "stop", 2)
    again.close()


def test_many_answers_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    keys = [request_key(ChatRequest((Message("user", str(i)),))) for i in range(2000)]
    log = AnswerLog(path)
    for i, key in enumerate(keys):
        log.keep(key, ChatResult(str(i), (i,), "stop", 2))
    assert all(log.find(key) == ChatResult(str(i), (i,), "stop", 2) for i, key in enumerate(keys))
    log.close()
    log = AnswerLog(path)
    assert all(log.find(key) == ChatResult(str(i), (i,), "stop", 2) for i, key in enumerate(keys))
    log.close()
