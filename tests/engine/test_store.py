"""A stage's folder: rows as they come, commit, resume."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from spa.engine.answers import AnswerLog, request_key
from spa.engine.arrow import schema_of
from spa.engine.rows import JudgedRow, NamedVerdict, VerdictRow
from spa.engine.store import RowWriter, StageFolder
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
    writer.rows("job", [row, row])
    writer.commit(["job"], {"jobs": 1})
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
    for name in ("c", "a", "b"):
        writer.rows(name, [Prompt(name, ())])
    writer.commit(["a", "b", "c"], {})
    assert [prompt.id for prompt in folder.read()] == ["a", "b", "c"]
    assert sorted(p.name for p in folder.path.iterdir()) == ["data.parquet", "stage.json"]
    assert pq.read_table(folder.path / "data.parquet").column("id").to_pylist() == ["a", "b", "c"]


def test_a_stage_that_died_goes_on_and_tries_failed_jobs_again(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "s", Prompt)
    first = RowWriter(folder)
    first.rows("a", [Prompt("a", ())])
    first.fail("b", RequestFailure("too_long", "m"))
    first.close()
    with (folder.path / "part-00000.jsonl").open("ab") as part:
        part.write(b'{"job":"c","ro')
    assert not folder.is_committed
    second = RowWriter(folder)
    assert second.done == {"a"}
    assert second.failures == {}
    second.rows("c", [Prompt("c", ())])
    second.fail("b", RequestFailure("too_long", "again"))
    second.commit(["a", "b", "c"], {})
    assert folder.is_committed
    assert [prompt.id for prompt in folder.read()] == ["a", "c"]
    assert folder.info()["failure_reasons"] == {"too_long": 1}
    assert folder.failures() == {"b": RequestFailure("too_long", "again")}


def test_answers_are_found_again_by_their_request(tmp_path: Path) -> None:
    chat = ChatRequest((Message("user", "a"),), seed=1)
    label = LabelRequest((Message("user", "a"),), ("1", "2"))
    results = {
        request_key(chat): ChatResult("t", (1,), "stop", 2),
        request_key(label): LabelResult((-0.1, -2.5), 0.9, 4),
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
    writer.rows("job", [row])
    writer.close()
    again = RowWriter(StageFolder(tmp_path / "s", JudgedRow))
    assert list(again.kept()) == [row]
    again.rows("other", [row])
    assert list(again.kept()) == [row, row]
    again.close()
