"""``spa preview``: a few prompts through a whole recipe, and nothing left of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spa.cli import console, main
from spa.engine import pipeline
from spa.errors import RunError

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """However a preview ends: no temporary folder, and no folder of runs."""
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    console.out.cache_clear()
    console.err.cache_clear()
    yield
    assert list(temporary.glob("spa-preview-*")) == []
    assert not Path("runs").exists()


def records(captured: Captured) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


@pytest.mark.usefixtures("recipe_file")
def test_the_first_prompts_go_through_all_stages(capsys: Captured) -> None:
    assert main(["preview", "tiny.yaml", "-n", "2", "--set", "generate.n=2"]) == 0
    said = capsys.readouterr()
    for text in ("── p1  train, round 1", "── p0  held out", "s0", "pairs  ", "round-1", "Funnel"):
        assert text in said.out
    assert "Training fits: " in said.out
    assert said.out.endswith(
        "Nothing was kept. What a full run would cost:\n"
        "Next: spa plan tiny.yaml --set generate.n=2\n"
    )


@pytest.mark.usefixtures("recipe_file")
def test_json_has_the_prompts_that_a_full_run_trains_on_first(capsys: Captured) -> None:
    words = ["preview", "tiny.yaml", "--json", "-n", "2", "--no-train"]
    assert main(words) == 0
    *examples, end = records(capsys)
    # Of ten prompts p0, p5 and one more are held out; of the others these come first.
    assert [(each["id"], each["split"]) for each in examples] == [
        ("p0", "heldout"),
        ("p1", "train"),
        ("p2", "train"),
        ("p5", "heldout"),
    ]
    assert all({"base"} == {a["by"] for a in each["responses"]} for each in examples[::3])
    assert end["training"] is None
    assert end["funnel"][0]["prompts"] == 2
    assert end["next"] == "spa plan tiny.yaml"


@pytest.mark.usefixtures("recipe_file")
def test_no_pair_is_no_failure(capsys: Captured) -> None:
    assert main(["preview", "tiny.yaml", "-n", "1", "--set", "pairs.margin=100"]) == 0
    said = capsys.readouterr().out
    assert "kept, but no_pair" in said
    assert "paired (0 pairs)" in said
    assert "No pair is left, so nothing was trained. It is just one prompt:" in said
    assert said.endswith("Next: spa plan tiny.yaml --set pairs.margin=100\n")


@pytest.mark.usefixtures("recipe_file")
@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (RunError("full"), 1)])
def test_nothing_is_left_of_one_that_ended_early(
    error: BaseException, code: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "make_pairs", fails)
    assert main(["preview", "tiny.yaml"]) == code
    said = capsys.readouterr()
    if code == 130:
        assert "Interrupted; nothing was kept. Again: spa preview tiny.yaml" in said.err
    else:
        assert "── p1  train, round 1" in said.out
        assert said.err.endswith(
            "full\nNothing was kept. Next: mend that, then type: spa preview tiny.yaml\n"
        )


@pytest.mark.usefixtures("recipe_file")
def test_a_recipe_that_cannot_be_run_is_refused(capsys: Captured) -> None:
    assert main(["preview", "tiny.yaml", "--set", "judge.labels=[good, bad]"]) != 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "judge" in said.err
