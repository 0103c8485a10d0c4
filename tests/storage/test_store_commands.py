"""``spa store list``, ``verify`` and ``prune``: what they see, and what they never touch."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from kept_run import ANSWERS, REFERENCE, TRAIN, make_kept_run, write_answers

from spa.cli import main
from spa.engine.lock import FILE, writer_lock
from spa.engine.store import RowWriter, StageFolder
from spa.engine.uses import UseLog
from spa.types import Prompt

Captured = pytest.CaptureFixture[str]
OTHER = f"sample-{99:016x}"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with one run, a stage that no run uses, and things that are not spa's."""
    runs = tmp_path / "runs"
    make_kept_run(runs)
    stage(runs, OTHER)
    (runs / "store" / "notes.txt").write_text("mine")
    (runs / "store" / "link").symlink_to(tmp_path)
    return runs


def stage(runs: Path, name: str, *, finished: bool = True) -> None:
    writer = RowWriter(StageFolder(runs / "store" / name, Prompt))
    writer.rows(0, "p", [Prompt("p", ())])
    writer.commit({"stage": "sample"}) if finished else writer.close()


def names(runs: Path) -> set[str]:
    return {path.name for path in (runs / "store").iterdir()}


def records(capsys: Captured, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    assert main(["store", *arguments, "--json"]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_list_says_what_is_there_and_who_uses_it(runs: Path, capsys: Captured) -> None:
    with writer_lock(runs / "store" / OTHER):
        *folders, total = records(capsys, "list", "--runs-dir", str(runs))
    found = {each["name"]: each for each in folders}
    assert set(found) == names(runs)
    assert [each["bytes"] for each in folders] == sorted(
        (each["bytes"] for each in folders), reverse=True
    )
    assert found[TRAIN]["holds"] == "training"
    assert found[TRAIN]["runs"] == found[REFERENCE]["runs"] == found[ANSWERS]["runs"] == ["made-1"]
    assert (found[ANSWERS]["state"], found[ANSWERS]["rows"]) == ("kept", 2)
    assert (found[OTHER]["state"], found[OTHER]["rows"], found[OTHER]["runs"]) == (
        "committed",
        1,
        [],
    )
    assert found[OTHER]["writer"].startswith(f"process {os.getpid()} on ")
    assert found["link"]["holds"] == found["notes.txt"]["holds"] == "unknown"
    assert total["bytes"] == sum(each["bytes"] for each in folders)
    assert found["link"]["bytes"] < found[TRAIN]["bytes"]  # not of what it leads to
    assert total["unused_bytes"] == found[OTHER]["bytes"]


def test_list_as_a_table(runs: Path, capsys: Captured) -> None:
    assert main(["store", "list", "--runs-dir", str(runs), "--sort", "name"]) == 0
    captured = capsys.readouterr()
    assert f"{TRAIN}" in captured.out
    assert "no run uses" in captured.out
    assert captured.out.endswith(f"Next: spa store prune --runs-dir {runs}\n")
    assert main(["store", "list", "--runs-dir", str(runs), "--sort", "colour"]) == 2
    assert main(["store", "list", "--runs-dir", str(runs / "gone")]) == 2


def test_prune_shows_first_and_removes_what_no_run_uses(runs: Path, capsys: Captured) -> None:
    before = names(runs)
    (plan,) = records(capsys, "prune", "--runs-dir", str(runs))
    assert plan["folders"] == [OTHER]
    assert names(runs) == before
    (done,) = records(capsys, "prune", "--runs-dir", str(runs), "--yes")
    assert done["removed"] == [OTHER]
    assert names(runs) == before - {OTHER}
    assert main(["store", "prune", "--runs-dir", str(runs), "--yes"]) == 0
    assert names(runs) == before - {OTHER}


def test_prune_keeps_what_an_interrupted_run_would_go_on_with(runs: Path, capsys: Captured) -> None:
    begun, unused = f"judge-{5:016x}", f"judge-{6:016x}"
    stage(runs, begun, finished=False)
    stage(runs, unused, finished=False)
    write_answers(runs / "store" / f"answers-{begun}", {"a": "b"})
    training = runs / "store" / f"train-{4:016x}"
    (training / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    (training / "reference.json").write_text(json.dumps({"folder": f"reference-{3:016x}"}))
    (runs / "store" / f"reference-{3:016x}").mkdir()
    log = UseLog(runs / "stopped")  # killed before its manifest was first written
    for name in (begun, f"answers-{begun}", training.name):
        log.add(name)
    (done,) = records(capsys, "prune", "--runs-dir", str(runs), "--yes")
    assert set(done["removed"]) == {OTHER, unused}
    assert (training / "checkpoints" / "checkpoint-3").is_dir()
    assert {begun, f"answers-{begun}", f"reference-{3:016x}"} <= names(runs)


def test_prune_drops_a_run_but_not_what_another_one_shares(runs: Path, capsys: Captured) -> None:
    shutil.copytree(runs / "made-1", runs / "other")
    extra = f"pairs-{77:016x}"
    stage(runs, extra)
    UseLog(runs / "other").add(extra)
    (done,) = records(capsys, "prune", "--runs-dir", str(runs), "--drop", "other", "--yes")
    assert set(done["removed"]) == {OTHER, extra}
    assert not (runs / "other").exists()
    assert TRAIN in names(runs)
    records(capsys, "prune", "--runs-dir", str(runs), "--drop", str(runs / "made-1"), "--yes")
    assert names(runs) == {"notes.txt", "link"}
    assert main(["store", "prune", "--runs-dir", str(runs), "--drop", "made-1"]) == 2
    assert "no run is called 'made-1'. Runs: none." in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{", "[]", '{"status": "done"}'])
def test_prune_refuses_rather_than_guesses(runs: Path, capsys: Captured, content: str) -> None:
    (runs / "broken").mkdir()
    (runs / "broken" / "run.json").write_text(content)
    before = names(runs)
    assert main(["store", "prune", "--runs-dir", str(runs), "--yes"]) == 1
    said = capsys.readouterr().err
    assert "nothing is removed" in said
    assert "--drop broken" in said
    assert names(runs) == before


def test_prune_knows_what_runs_of_before_may_use(runs: Path, capsys: Captured) -> None:
    (runs / "made-1" / "uses.jsonl").unlink()
    write_answers(runs / "store" / f"answers-old-{1:016x}", {"a": "b"})
    (done,) = records(capsys, "prune", "--runs-dir", str(runs))
    assert done["folders"] == [OTHER]  # no answers: any may be of that run
    manifest = json.loads((runs / "made-1" / "run.json").read_text())
    (runs / "made-1" / "run.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    assert main(["store", "prune", "--runs-dir", str(runs)]) == 1
    assert "an earlier version of spa did not note what it uses" in capsys.readouterr().err


def test_prune_leaves_what_somebody_is_writing(runs: Path, capsys: Captured) -> None:
    with writer_lock(runs / "store" / OTHER):
        (plan,) = records(capsys, "prune", "--runs-dir", str(runs), "--yes")
    assert plan["removed"] == []
    assert "being written by process" in plan["kept"][OTHER]
    with writer_lock(runs / "made-1"):
        assert main(["store", "prune", "--runs-dir", str(runs), "--drop", "made-1"]) == 1
    assert "Stop it first" in capsys.readouterr().err


def test_prune_asks_again_before_each_folder(runs: Path) -> None:
    from spa.storage.pruning import plan_prune, prune

    plan = plan_prune(runs)
    UseLog(runs / "new").add(OTHER)
    done = prune(plan)
    assert done.folders == []
    assert done.kept == [(OTHER, "a run has begun to use it")]
    assert OTHER in names(runs)


def test_prune_gives_back_what_a_run_has_begun_to_use_meanwhile(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the last look the folder has another name already, and its lock is held."""
    from spa.storage import pruning

    plan = pruning.plan_prune(runs)
    looked: list[bool] = []
    find = pruning.find_runs
    before = sorted(file.name for file in (runs / "store" / OTHER).iterdir())

    def found(folder: Path) -> object:
        there = (runs / "store" / OTHER).exists()
        looked.append(there)
        if not there:
            UseLog(runs / "new").add(OTHER)
        return find(folder)

    monkeypatch.setattr(pruning, "find_runs", found)
    done = pruning.prune(plan)
    assert looked == [True, False]
    assert done.kept == [(OTHER, "a run has begun to use it")]
    assert sorted(file.name for file in (runs / "store" / OTHER).iterdir()) == before
    assert not list((runs / "store").glob("removing.*"))


def test_judge_checks_go_only_when_asked(runs: Path, capsys: Captured) -> None:
    check = f"judge-check-{2:016x}"
    (runs / "store" / check).mkdir()
    write_answers(runs / "store" / f"answers-judge-probes-{2:016x}", {"a": "b"})
    (plan,) = records(capsys, "prune", "--runs-dir", str(runs))
    assert check in plan["kept"]
    (plan,) = records(capsys, "prune", "--judge-checks", "--runs-dir", str(runs))
    assert {check, f"answers-judge-probes-{2:016x}"} <= set(plan["folders"])


def test_a_sound_store(runs: Path, capsys: Captured) -> None:
    *folders, total = records(capsys, "verify", "--runs-dir", str(runs))
    verdicts = {each["folder"]: each["verdict"] for each in folders}
    assert verdicts[TRAIN] == verdicts[OTHER] == verdicts[ANSWERS] == "sound"
    assert verdicts[REFERENCE] == "no checksum"
    assert total["sound"] == len(folders) - 1
    assert main(["store", "verify", str(runs / "made-1")]) == 0
    assert "damaged" not in capsys.readouterr().out


FILES = {
    f"{OTHER}/data.parquet": "is not what was written: its checksum differs",
    f"{OTHER}/stage.json": "is not as it was written",
    f"{TRAIN}/adapter/adapter_model.safetensors": "is not what was written: its checksum differs",
    f"{ANSWERS}/part-00000.jsonl": "1 line is damaged (line 1)",
}


@pytest.mark.parametrize("file", FILES)
def test_a_flipped_bit_is_found_and_named(runs: Path, capsys: Captured, file: str) -> None:
    path = runs / "store" / file
    content = bytearray(path.read_bytes())
    place = content.index(b'"rows"') + 3 if file.endswith("stage.json") else 30
    content[place] ^= 1
    path.write_bytes(content)
    before = {each: each.read_bytes() for each in runs.rglob("*") if each.is_file()}
    assert main(["store", "verify", "--runs-dir", str(runs)]) == 1
    assert f"{path}: {FILES[file]}. " in capsys.readouterr().out
    assert before == {each: each.read_bytes() for each in runs.rglob("*") if each.is_file()}


def test_damaged_stages_are_set_aside_and_nothing_is_deleted(runs: Path, capsys: Captured) -> None:
    path = runs / "store" / OTHER / "data.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with (runs / "store" / ANSWERS / "part-00000.jsonl").open("ab") as file:
        file.write(b"rot\n")
    assert main(["store", "verify", "--runs-dir", str(runs), "--set-aside"]) == 1
    capsys.readouterr()
    aside = runs / "store" / f"damaged.{OTHER}.1"
    assert {each.name for each in aside.iterdir()} == {"data.parquet", "stage.json"}
    assert not (runs / "store" / OTHER).exists()
    assert (runs / "store" / ANSWERS).is_dir()
    (plan,) = records(capsys, "prune", "--runs-dir", str(runs))
    assert plan["folders"] == [aside.name]


def test_a_missing_stage_is_named(runs: Path, capsys: Captured) -> None:
    shutil.rmtree(runs / "store" / TRAIN)
    assert main(["store", "verify", "--runs-dir", str(runs)]) == 1
    assert f"{TRAIN} is gone, which run made-1 made." in capsys.readouterr().out


def test_stages_of_before_are_read_where_there_is_no_checksum(runs: Path, capsys: Captured) -> None:
    marker = runs / "store" / OTHER / "stage.json"
    facts = json.loads(marker.read_text())
    marker.write_text(
        json.dumps({k: v for k, v in facts.items() if k not in ("checksums", "seal")})
    )
    found = {r.get("folder"): r for r in records(capsys, "verify", "--runs-dir", str(runs))}
    assert found[OTHER]["verdict"] == "no checksum"
    marker.write_text(json.dumps({"rows": 2}))
    found = {r.get("folder"): r for r in records(capsys, "verify", "--runs-dir", str(runs), code=1)}
    assert found[OTHER]["damage"][0]["problem"] == "has 1 rows instead of 2"


def test_a_torn_last_line_is_no_damage(runs: Path, capsys: Captured) -> None:
    begun = f"judge-{5:016x}"
    stage(runs, begun, finished=False)
    with (runs / "store" / begun / "part-00000.jsonl").open("ab") as file:
        file.write(b'{"crc":"12')
    found = {r.get("folder"): r for r in records(capsys, "verify", "--runs-dir", str(runs))}
    assert found[begun]["verdict"] == "unfinished"


def test_locks_are_left_by_nobody(runs: Path) -> None:
    assert main(["store", "prune", "--runs-dir", str(runs), "--yes"]) == 0
    assert not list(runs.rglob(FILE))


@pytest.fixture
def own(runs: Path, tmp_path: Path) -> Path:
    """A run beside the others with a store of its own, as ``--resume never`` makes it."""
    made = make_kept_run(tmp_path / "apart")
    made.rename(runs / "own")
    (tmp_path / "apart" / "store").rename(runs / "own" / "store")
    return runs / "own"


def test_a_store_of_a_runs_own_is_seen(runs: Path, own: Path, capsys: Captured) -> None:
    *folders, total = records(capsys, "list", "--runs-dir", str(runs))
    assert {name for each in folders for name in each["runs"]} == {"made-1"}
    made = sum(each["bytes"] for each in folders if each["runs"])
    # Both were made alike, but for the digits of times.
    assert total["other_stores"] == {str(own / "store"): pytest.approx(made, abs=100)}
    assert main(["store", "list", "--runs-dir", str(runs)]) == 0
    assert f"kB: spa store list --runs-dir {own}\n" in capsys.readouterr().out
    *folders, total = records(capsys, "list", "--runs-dir", str(own))
    assert {tuple(each["runs"]) for each in folders} == {("own",)}
    assert total["unused_bytes"] == 0


def test_prune_of_a_store_of_a_runs_own(runs: Path, own: Path, capsys: Captured) -> None:
    (done,) = records(capsys, "prune", "--runs-dir", str(own), "--yes")
    assert done["removed"] == []
    assert main(["store", "prune", "--runs-dir", str(own), "--drop", "own", "--yes"]) == 2
    assert f"--runs-dir {runs} --drop own" in capsys.readouterr().err
    (done,) = records(capsys, "prune", "--runs-dir", str(runs), "--drop", "made-1", "--yes")
    assert TRAIN in done["removed"]
    assert (own / "store" / TRAIN / "stage.json").is_file()
    records(capsys, "prune", "--runs-dir", str(runs), "--drop", "own", "--yes")
    assert not own.exists()


def test_verify_looks_into_stores_of_runs_own(runs: Path, own: Path, capsys: Captured) -> None:
    weights = own / "store" / TRAIN / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert main(["store", "verify", "--runs-dir", str(runs)]) == 1
    assert f"{weights}: is not what was written" in capsys.readouterr().out
    (own / "store" / TRAIN).rename(runs / "elsewhere")
    missing = [r for r in records(capsys, "verify", str(own), code=1) if r["kind"] == "missing"]
    assert missing == [{"kind": "missing", "run": "own", "folder": TRAIN}]
