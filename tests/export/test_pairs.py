"""Pairs are read with their texts, round by round; what is missing is said or counted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from made_run import PAIRS, PROMPTS, RESPONSES, make_run

from spa.engine.stored_run import StoredRun, open_run
from spa.errors import RunError, SpaError, UsageError
from spa.export.pairs import read_pairs, without_text


def test_pairs_have_the_texts_of_their_own_round(made: StoredRun) -> None:
    data = read_pairs(made)
    assert data.rounds == (1, 2)
    assert [item.round for item in data.pairs] == [1, 1, 1, 1, 1, 2]
    assert tuple(item.pair for item in data.pairs) == (*PAIRS[1], *PAIRS[2])
    assert data.pairs[0].chosen == RESPONSES[1][2]
    assert data.pairs[1].chosen.text == "Go to bed early."
    assert data.pairs[5].chosen.text == "Round two, better."
    assert data.pairs[2].prompt == PROMPTS[1]
    assert (data.total, data.left_out) == (6, {})


def test_one_round(made: StoredRun) -> None:
    data = read_pairs(made, 2)
    assert (data.rounds, len(data.pairs)) == ((2,), 1)


def test_unknown_round(made: StoredRun) -> None:
    with pytest.raises(UsageError) as caught:
        read_pairs(made, 3)
    assert str(caught.value) == f"{made.folder} has no round 3 with pairs. Valid: 1, 2."
    assert caught.value.exit_code == 2


def test_a_round_that_did_not_get_to_its_pairs_is_passed_over(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path, pairs={1: PAIRS[1]}))
    assert read_pairs(run).rounds == (1,)
    with pytest.raises(UsageError, match=r"has no round 2 with pairs\. Valid: 1\.$"):
        read_pairs(run, 2)


@pytest.mark.parametrize("stages", [[], None])
def test_a_run_that_did_not_get_through_the_stage_pairs(tmp_path: Path, stages: object) -> None:
    run = open_run(make_run(tmp_path, stages=stages))
    with pytest.raises(RunError) as caught:
        read_pairs(run)
    assert str(caught.value) == (
        f"{run.folder} has no preference pairs: it did not get through the stage pairs. "
        "Finish it first."
    )


def test_a_run_without_a_single_pair(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path, pairs={1: ()}))
    with pytest.raises(RunError) as caught:
        read_pairs(run)
    assert str(caught.value) == (
        f"{run.folder}: the stage pairs made no pair, so there is nothing to export. The funnel "
        "in its run.json says where the prompts were lost."
    )


@pytest.mark.parametrize(
    ("stage", "number"), [("prompts", 1), ("sample", 2), ("refine", 1), ("pairs", 1)]
)
@pytest.mark.parametrize("what", ["", "stage.json"])
def test_a_stage_that_is_gone(made: StoredRun, stage: str, number: int, what: str) -> None:
    gone = made.store / f"{stage}-{number:016x}"
    if what:
        (gone / what).unlink()
    else:
        shutil.rmtree(gone)
    with pytest.raises(RunError) as caught:
        read_pairs(made)
    assert str(caught.value) == (
        f"{made.folder}: its stage {stage} is gone: {gone} is missing or not complete. Put the "
        "store back beside the run, or run the recipe again to make it anew."
    )


def test_a_run_that_was_moved_without_its_store(made: StoredRun, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "made-1"
    moved.parent.mkdir()
    made.folder.rename(moved)
    with pytest.raises(RunError, match=r"Put the store back beside the run, or run the recipe"):
        read_pairs(open_run(moved))


def test_a_run_is_found_from_inside_of_it_and_through_a_link(
    made: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(made.folder)
    assert read_pairs(open_run(link)).total == 6
    monkeypatch.chdir(made.folder)
    assert read_pairs(open_run(Path())).total == 6


def test_a_stage_that_cannot_be_read(made: StoredRun) -> None:
    broken = made.store / f"pairs-{1:016x}"
    (broken / "data.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(RunError) as caught:
        read_pairs(made)
    said = str(caught.value)
    assert said.startswith(f"{broken} cannot be read: ")
    assert said.endswith(
        ". Run the recipe again: a damaged stage is made anew from the answers that are stored."
    )


def test_pairs_whose_rows_are_gone_are_counted(tmp_path: Path) -> None:
    # p1/r is named by one pair, p3 by another.
    left = tuple(response for response in RESPONSES[1] if response.id != "p1/r")
    run = open_run(make_run(tmp_path, prompts=PROMPTS[:2], responses={1: left, 2: RESPONSES[2]}))
    data = read_pairs(run)
    assert data.left_out == {"response_gone": 1, "prompt_gone": 1}
    assert [item.pair.chosen for item in data.pairs] == ["p1/s0", "p2/s0", "p2/s0", "p1/s0"]
    assert data.total == 6


def test_pairs_with_too_few_scores(tmp_path: Path) -> None:
    short = replace(PAIRS[1][0], chosen_scores=(9.0,))
    run = open_run(make_run(tmp_path, pairs={1: (short,)}))
    with pytest.raises(RunError) as caught:
        read_pairs(run)
    assert str(caught.value) == (
        f"{run.folder}: the pair p1/r over p1/s0 has 1 and 2 scores, but the recipe has 2 "
        "objectives. Mend the pair builder, raise its revision and run the recipe again."
    )


def test_a_response_of_white_space_is_empty(made: StoredRun) -> None:
    reasons = [without_text(pair) for pair in read_pairs(made).pairs]
    assert reasons == [None, None, "empty_response", None, None, None]


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for folder in (tmp_path, tmp_path / "nowhere", file):
        with pytest.raises(UsageError) as caught:
            open_run(folder)
        assert str(caught.value) == (
            f"{folder} is no run folder: it holds no run.json. Runs lie in runs/NAME."
        )


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_manifest_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(SpaError, match=r"run\.json (cannot be read: |is not a run manifest\.)"):
        open_run(tmp_path)


def test_a_manifest_without_a_name_has_that_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({}))
    assert open_run(tmp_path).name == tmp_path.name
