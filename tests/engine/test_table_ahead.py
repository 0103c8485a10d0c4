"""A parquet file made while rows come is the one that is made at the end, or there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spa.engine import store
from spa.engine.lines import LineFile
from spa.engine.store import RowWriter, StageFolder
from spa.engine.table_ahead import TableAhead
from spa.errors import RunError
from spa.types import Response

JOBS = 200


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "AHEAD_FROM", 32)
    monkeypatch.setattr(store, "CHUNK", 16)


def begun(folder: Path, jobs: list[int]) -> RowWriter[Response]:
    writer = RowWriter(StageFolder(folder, Response))
    for place in jobs:
        rows = [Response(f"{place}, {n}", (place, n), id=f"p{place}/s{n}") for n in range(3)]
        writer.rows(place, f"p{place}", rows)
    return writer


def committed(folder: Path, jobs: list[int]) -> bytes:
    writer = begun(folder, jobs)
    assert (writer._ahead is None) == (store.AHEAD_FROM > JOBS)
    writer.commit({"stage": "sample"})
    assert sorted(each.name for each in folder.iterdir()) == ["data.parquet", "stage.json"]
    return (folder / "data.parquet").read_bytes()


def test_it_is_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_order = list(range(JOBS))
    # Jobs end in another order, and one of them has failed.
    mixed = sorted(set(in_order) - {90}, key=lambda place: place ^ 5)
    ahead = [committed(tmp_path / "order", in_order), committed(tmp_path / "mixed", mixed)]
    monkeypatch.setattr(store, "AHEAD_FROM", 1 << 30)
    after = [committed(tmp_path / "order-2", in_order), committed(tmp_path / "mixed-2", mixed)]
    assert ahead == after
    rows = list(StageFolder(tmp_path / "mixed", Response).read())
    assert len(rows) == 3 * (JOBS - 1)
    assert [row.id for row in rows[:4]] == ["p0/s0", "p0/s1", "p0/s2", "p1/s0"]


def test_a_stage_that_goes_on_hands_on_what_was_there(tmp_path: Path) -> None:
    begun(tmp_path / "halves", list(range(JOBS // 2))).close()
    halves = committed(tmp_path / "halves", list(range(JOBS // 2, JOBS)))
    assert halves == committed(tmp_path / "whole", list(range(JOBS)))


def test_a_process_that_was_killed_is_not_missed(tmp_path: Path) -> None:
    writer = begun(tmp_path / "killed", list(range(JOBS)))
    assert writer._ahead is not None
    process = writer._ahead._process
    assert process is not None
    process.kill()
    process.wait()
    writer.commit({"stage": "sample"})
    assert sorted(each.name for each in (tmp_path / "killed").iterdir()) == [
        "data.parquet",
        "stage.json",
    ]
    assert len(list(writer.folder.read())) == 3 * JOBS


def test_one_that_cannot_be_started_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    committed(tmp_path / "rows", list(range(JOBS)))
    assert len(list(StageFolder(tmp_path / "rows", Response).read())) == 3 * JOBS


def test_a_line_damaged_meanwhile_is_named_by_who_commits(tmp_path: Path) -> None:
    writer = begun(tmp_path / "rows", list(range(40)))
    part = tmp_path / "rows" / "part-00000.jsonl"
    with part.open("r+b") as file:
        file.seek(-30, 2)
        file.write(b"#")
    for place in range(40, 50):
        writer.rows(place, f"p{place}", [Response("more")])
    with pytest.raises(RunError, match=r"was damaged while the stage ran \(byte \d+\)"):
        writer.commit({"stage": "sample"})
    writer.close()
    left = sorted(each.name for each in (tmp_path / "rows").iterdir())
    assert left == ["failures.jsonl", "part-00000.jsonl"]


def test_a_stage_that_is_left_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    writer = begun(tmp_path / "rows", list(range(JOBS)))
    assert writer._ahead is not None
    process = writer._ahead._process
    assert process is not None
    writer.close()
    assert process.returncode is not None
    left = sorted(each.name for each in (tmp_path / "rows").iterdir())
    assert left == ["failures.jsonl", "part-00000.jsonl"]


def test_the_process_ends_with_who_started_it(tmp_path: Path) -> None:
    with LineFile(tmp_path / "lines") as lines:
        place = lines.append(b'{"place":0,"job":"p","rows":[]}')
    ahead = TableAhead(tmp_path / "lines", Response, tmp_path / "data.parquet")
    ahead.hand_on([place])
    process = ahead._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # as when the one that writes is killed
    assert process.wait(60) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["lines"]
    ahead.close()


def test_it_loads_no_model_library(tmp_path: Path) -> None:
    code = (
        "import sys, spa.engine.table_ahead; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
