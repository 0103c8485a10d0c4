"""Files that rot or are cut short: found out, named, and only what they held is done again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faulty.driving import Play, Report, answers_on_disk, rows_of

if TYPE_CHECKING:
    from conftest import Undisturbed

Spoil = Callable[[Path, random.Random], None]


def flip(file: Path, draw: random.Random) -> None:
    """Flips one bit."""
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def cut(file: Path, draw: random.Random) -> None:
    """Cuts a file short."""
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(len(content))])


def empty(file: Path, draw: random.Random) -> None:
    file.write_bytes(b"")


def finished(play: Play, report: Report, undisturbed: Undisturbed) -> None:
    assert (report.status, report.error) == (0, None)
    assert rows_of(play) == undisturbed.rows
    assert play.files() == undisturbed.files


def copied(play: Play, undisturbed: Undisturbed) -> None:
    shutil.copytree(undisturbed.runs, play.runs)


def named(report: Report, file: Path) -> bool:
    return any(str(file) in line for line in report.told)


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_a_stage_that_runs(play: Play, undisturbed: Undisturbed, seed: int) -> None:
    draw = random.Random(seed)
    stage = ("1/judge", "1/sample", "2/refine")[seed]
    assert play.run(kill={stage: undisturbed.operations[stage] - 12}, flush_bytes=1).status == -9
    (part,) = (
        file
        for file in (play.runs / "store").glob("*/part-00000.jsonl")
        if not file.parent.name.startswith("answers-")
    )
    lines = part.read_bytes().count(b"\n")
    asked = len(play.asked())
    flip(part, draw)
    report = play.run()
    assert named(report, part) or part.read_bytes().count(b"\n") < lines
    finished(play, report, undisturbed)
    assert answers_on_disk(play.runs) == undisturbed.answers
    assert len(play.asked()) - asked <= undisturbed.answers.total() - asked + 1


@pytest.mark.parametrize("spoil", [flip, cut])
@pytest.mark.parametrize("stage", ["sample", "judge"])
def test_answers(play: Play, undisturbed: Undisturbed, stage: str, spoil: Spoil) -> None:
    """Answers of a stage that is committed are of no use to a run until it is made anew."""
    draw = random.Random(stage)
    whole = undisturbed.operations[f"1/{stage}"]
    assert play.run(kill={f"1/{stage}": whole - 9}, flush_bytes=1).status == -9
    (log,) = (play.runs / "store").glob(f"answers-{stage}-*/part-00000.jsonl")
    spoil(log, draw)
    lost = undisturbed.answers - answers_on_disk(play.runs)
    gone = {key for folder, key in lost if folder == log.parent.name}
    before = len(play.asked())
    report = play.run()
    finished(play, report, undisturbed)
    assert spoil is cut or named(report, log)
    again = [each.key for each in play.asked()[before:]]
    assert len(again) == lost.total()
    assert gone <= set(again)
    assert spoil is cut or len(gone) <= 2  # two, where a newline was hit
    assert answers_on_disk(play.runs) == undisturbed.answers


@pytest.mark.parametrize("spoil", [flip, cut, empty])
def test_rows_of_stages_that_are_committed(
    play: Play, undisturbed: Undisturbed, spoil: Spoil
) -> None:
    copied(play, undisturbed)
    files = sorted((play.runs / "store").glob("*/data.parquet"))
    draw = random.Random(0)
    for file in files:
        spoil(file, draw)
    report = play.run()
    assert [file for file in files if not named(report, file)] == []
    assert any("The stage is made anew from what is stored" in line for line in report.told)
    finished(play, report, undisturbed)
    assert play.asked() == []


@pytest.mark.parametrize("spoil", [flip, cut, empty])
def test_markers(play: Play, undisturbed: Undisturbed, spoil: Spoil) -> None:
    copied(play, undisturbed)
    files = sorted((play.runs / "store").glob("*/stage.json"))
    draw = random.Random(1)
    for file in files:
        spoil(file, draw)
    report = play.run()
    assert [file for file in files if not named(report, file)] == []
    finished(play, report, undisturbed)
    assert play.asked() == []


@pytest.mark.parametrize(
    "name",
    ["adapter/adapter_model.safetensors", "adapter/adapter_config.json", "result.json"],
)
def test_what_training_made(play: Play, undisturbed: Undisturbed, name: str) -> None:
    copied(play, undisturbed)
    files = sorted((play.runs / "store").glob(f"train-*/{name}"))
    assert len(files) == 2
    draw = random.Random(name)
    for file in files:
        flip(file, draw)
    report = play.run()
    assert [file for file in files if not named(report, file)] == []
    finished(play, report, undisturbed)
    assert play.asked() == []


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "adapter_model.safetensors", "trainer_state.json"]
)
@pytest.mark.parametrize("spoil", [flip, cut])
def test_checkpoints(play: Play, undisturbed: Undisturbed, name: str, spoil: Spoil) -> None:
    whole = undisturbed.operations["2/train"]
    assert play.run(kill={"2/train": whole * 3 // 4}).status == -9
    checkpoints = sorted((play.runs / "store").glob("train-*/checkpoints/checkpoint-*"))
    assert len(checkpoints) == 2
    spoil(checkpoints[-1] / name, random.Random(name))
    report = play.run()
    finished(play, report, undisturbed)


def test_rows_that_come_out_otherwise_are_not_mixed_with_what_was_made_of_the_old_ones(
    play: Play, undisturbed: Undisturbed
) -> None:
    """Where answers are gone and the model says something else, the stages after are made anew."""
    copied(play, undisturbed)
    rows = play.runs / "store" / undisturbed.folder("1/sample")
    for log in (play.runs / "store").glob("answers-sample-*/part-00000.jsonl"):
        log.unlink()
    (rows / "data.parquet").write_bytes(b"")
    report = play.run(say="something else")
    assert (report.status, report.error) == (0, None)
    found = rows_of(play)
    texts = {row["id"]: row["text"] for row in found["1/sample"]}
    old = {row["id"]: row["text"] for row in undisturbed.rows["1/sample"]}
    assert texts.keys() == old.keys()
    assert not set(texts.values()) & set(old.values())
    assert found["1/judge"] != undisturbed.rows["1/judge"]
    assert found["1/train"] != undisturbed.rows["1/train"]
    assert any("was made from other rows" in line for line in report.told)
    # The answers of the round's later stages are other ones, too, as they are of other texts.
    assert play.run().error is None
