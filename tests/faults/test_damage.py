"""Files that rot or are cut short: found out, named, and only what they held is done again."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faulty.driving import Play, Report, answers_on_disk, by_request, rows_of

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


def whole(file: Path) -> None:
    """Cuts off a torn last line, as opening does, so that a flipped bit is not in it."""
    content = file.read_bytes()
    file.write_bytes(content[: content.rindex(b"\n") + 1])


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
    writes = undisturbed.kinds[stage, "write"] * 2 // 3
    assert play.run(kill={stage: ["write", writes]}, flush_bytes=1).status == -9
    (part,) = (
        file
        for file in (play.runs / "store").glob("*/part-00000.jsonl")
        if not file.parent.name.startswith("answers-")
    )
    answers = answers_on_disk(play.runs)
    before = len(play.asked())
    whole(part)
    flip(part, draw)
    report = play.run()
    assert named(report, part)
    finished(play, report, undisturbed)
    assert answers_on_disk(play.runs) == undisturbed.answers
    assert len(play.asked()) - before == (undisturbed.answers - answers).total()


@pytest.mark.parametrize("spoil", [flip, cut])
@pytest.mark.parametrize("stage", ["sample", "judge"])
def test_answers(play: Play, undisturbed: Undisturbed, stage: str, spoil: Spoil) -> None:
    draw = random.Random(stage)
    writes = undisturbed.kinds[f"1/{stage}", "write"] * 2 // 3
    assert play.run(kill={f"1/{stage}": ["write", writes]}, flush_bytes=1).status == -9
    (log,) = (play.runs / "store").glob(f"answers-{stage}-*/part-00000.jsonl")
    whole(log)
    had = answers_on_disk(play.runs)
    spoil(log, draw)
    left = answers_on_disk(play.runs)
    before = len(play.asked())
    report = play.run()
    finished(play, report, undisturbed)
    assert spoil is cut or named(report, log)
    again = Counter(each.key for each in play.asked()[before:])
    # Not asked either is what is lost but of rows that are there.
    assert again <= by_request(undisturbed.answers - left)
    assert answers_on_disk(play.runs) <= undisturbed.answers
    if spoil is flip:
        assert 1 <= (had - left).total() <= 2  # two, where a newline was hit


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
    steps = undisturbed.kinds["2/train", "step"]
    assert play.run(kill={"2/train": ["step", steps]}).status == -9
    checkpoints = sorted((play.runs / "store").glob("train-*/checkpoints/checkpoint-*"))
    spoil(checkpoints[-1] / name, random.Random(name))
    report = play.run()
    finished(play, report, undisturbed)
    assert name == "trainer_state.json" or named(report, checkpoints[-1] / name)


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
