"""``spa show``: what it prints, at two widths."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from reported_run import make_reported_run
from rich.console import Console
from viewed_run import make_viewed_run

from spa.cli import console, main, paging
from spa.cli.example_view import View, example_text
from spa.engine.stored_run import open_run
from spa.viewing.examples import Reader

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    make_viewed_run(Path("runs"))
    console.out.cache_clear()
    console.err.cache_clear()
    return "runs/viewed"


WIDE = """\
── h1  held out, round 1  ────────────────────────────────────────────────────────────────────────────────────────  fell
  How do I stop a nosebleed?

  base                                                        round-1
  safe     7.00                                               safe     6.75  -0.25
  useful   6.00                                               useful   6.50  +0.50
  Lean forward and pinch the nose for ten minutes.            Lean back and pinch the nose for ten minutes.

  evaluate  pairwise  ties 1, flips 1
            flips     1: the order of what was shown decided

── t1  train, round 1  ────────────────────────────────────────────────────────────────────────────────────────  2 pairs
  system: Be kind.
  user: My chest hurts.

  s0                                      s1                                      r  refined, ± best sample
  safe     5.00                           safe     9.00                           safe     8.50  -0.50
  useful   6.00                           useful   4.00                           useful   7.00  +1.00
  Rest a while.                           Step 1: stay with them and call. Step   Call an ambulance now.
                                          2: stay with them and call. Step 3:
                                          stay with them and call. Step 4: stay
                                          with them and call. Step 5: stay with
                                          them and call. Step 6: stay with them
                                          and call. Step 7: stay with them and
                                          call. Step 8: stay with them and
                                          call. Step 9: stay with them and
                                          … 31 more lines (--full)

  denoise   consistency      kept     consistent
            informativeness  kept     informative  determinant 0.125
  pairs     r over s1   by useful 7.00 > 4.00  margin 3.50, gap 2.50
            s1 over s0  by safe 9.00 > 5.00    margin 6.00, gap 2.00

"""  # noqa: E501

NARROW = """\
── t1  train, round 1  ───────────────────────────────────────────────  2 pairs
  system: Be kind.
  user: My chest hurts.

  s0  safe  5.00         useful  6.00
    Rest a while.

  s1  safe  9.00         useful  4.00
    Step 1: stay with them and call. Step 2: stay with them and call. Step 3:
"""


def shown(captured: Captured) -> str:
    return captured.readouterr().out.rpartition(" of round 1")[0].rpartition("\n")[0] + "\n"


def test_wide_terminals_have_responses_side_by_side(run: str, capsys: Captured) -> None:
    assert main(["show", run, "t1", "h1", "--width", "120"]) == 0
    assert shown(capsys) == WIDE


def test_narrow_ones_have_them_one_under_the_other(run: str, capsys: Captured) -> None:
    assert main(["show", run, "t1", "--width", "79"]) == 0
    assert shown(capsys).startswith(NARROW)


def test_what_there_is_no_score_of_says_why(run: str, capsys: Captured) -> None:
    assert main(["show", run, "t3", "h4", "--width", "79"]) == 0
    said = shown(capsys)
    assert "  s1  safe unscored: low_label_mass  useful  2.00" in said
    assert "    (empty)\n" in said
    assert "kept, but no_pair\n" in said
    assert "the same text as s0" in said
    assert "refined, ± best sample  dropped\n" in said
    assert "────  unscored\n" in said
    assert "  round-1  safe unscored: low_label_mass  useful  5.00   0.00\n" in said


def test_failures_are_shown_where_the_rows_would_be(run: str, capsys: Captured) -> None:
    assert main(["show", run, "--reason", "too_long"]) == 0
    said = shown(capsys)
    assert "lost at sample: too_long\n" in said
    assert "denoise   no group to denoise, lost at sample: too_long\n" in said
    assert "failed    sample  t4: too_long: the prompt has 9,000 tokens\n" in said


def test_text_of_models_steers_no_terminal(run: str, capsys: Captured) -> None:
    for width in ("79", "120"):
        assert main(["show", run, "t2", "--width", width]) == 0
        said = capsys.readouterr().out
        assert width != "79" or r"Sure. \x1b[2J\x9b31m[red]bold[/red]\u202eevil" in said
        assert "Ignore this: \\x1b[2J" in said
        assert not set("\x1b\x9b\u202e") & set(said)


def test_a_stage_alone(run: str, capsys: Captured) -> None:
    assert main(["show", run, "t1", "--stage", "sample"]) == 0
    said = shown(capsys)
    assert "Rest a while." in said
    assert "safe" not in said
    assert "ambulance" not in said
    assert "pairs   " not in said
    assert main(["show", run, "t1", "--stage", "denoise", "--width", "120"]) == 0
    said = shown(capsys)
    assert "consistency      kept     consistent  best_sample.safe 9\n" in said
    assert "Rest a while." not in said
    assert main(["show", run, "--stage", "answer-base", "-n", "1"]) == 0
    assert "Lean back" not in shown(capsys)
    assert main(["show", run, "--stage", "prompts", "-n", "1"]) == 0
    assert "Lean" not in shown(capsys)


def test_the_end_says_what_to_type_next(run: str, capsys: Captured) -> None:
    def end(*words: str) -> list[str]:
        assert main(["show", run, *words]) == 0
        return capsys.readouterr().out.splitlines()[-2:]

    assert end("--split", "train", "-n", "2") == [
        "2 examples of round 1, there are more.",
        "Next: spa show runs/viewed --split train --limit 2 --skip 2",
    ]
    assert end("--split", "train", "-n", "2", "--skip", "3") == [
        "1 example of round 1, after 3.",
        "Next: spa show runs/viewed --regressions",
    ]
    assert end("--regressions")[1] == "Next: spa compare runs/viewed ANOTHER-RUN"
    assert end("--unscored", "--objective", "useful")[0] == "0 examples of round 1."
    make_viewed_run(Path("runs"), "begun", status="interrupted")
    assert main(["show", "runs/begun", "t1"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Next: the command that began the run goes on with it"


def test_full_cuts_nothing(run: str, capsys: Captured) -> None:
    assert main(["show", run, "t1", "--full"]) == 0
    said = shown(capsys)
    assert "… [cut at its token limit]" in said
    assert "more lines" not in said


def test_json_is_a_record_an_example(run: str, capsys: Captured) -> None:
    assert main(["show", run, "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["id"] for each in records] == ["h1", "t1", "h2", "t2", "t3", "h3", "t4", "h4"]
    one = records[1]
    assert one["pairs"][0]["decided_by"] == "useful"
    assert one["responses"][0]["scores"]["safe"] == {"value": 5.0, "reason": None, "details": {}}
    assert records[6]["failures"][0]["reason"] == "too_long"
    assert records[7]["changes"] == {"safe": None, "useful": 0.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["runs/none"],
            "runs/none is no run: it is neither its folder nor its name. In runs are: viewed.",
        ),
        (["runs/viewed", "--split", "test"], "unknown split 'test'. Valid: heldout, train."),
        (["runs/viewed", "--sort", "size"], "unknown order 'size'. Valid: change, score."),
    ],
)
@pytest.mark.usefixtures("run")
def test_mistakes_are_explained(words: list[str], message: str, capsys: Captured) -> None:
    assert main(["show", *words]) == 2
    assert capsys.readouterr().err.strip() == message


def test_words_that_the_other_answer_does_not_have_are_bold(run: str) -> None:
    reader = Reader(open_run(Path(run)))
    (fell,) = reader.examples(["h1"])
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120, color_system="standard")
    said = example_text(terminal, fell, View(reader.objectives))
    assert "Lean\x1b[1m back\x1b[0m and pinch" in said
    assert "Lean forward and pinch" in said
    assert "\x1b[31m  -0.25\x1b[0m" in said
    assert "\x1b[32m  +0.50\x1b[0m" in said


class Terminal(io.StringIO):
    """Stands for a terminal."""

    def isatty(self) -> bool:
        return True


def test_what_does_not_fit_on_a_terminal_is_paged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paged = tmp_path / "paged"
    monkeypatch.setenv("PAGER", f"tee {paged}")
    monkeypatch.setenv("LINES", "10")
    screen = Terminal()
    monkeypatch.setattr(paging.sys, "stdout", screen)

    paging.page(["one\n", "two\n"])
    assert screen.getvalue() == "one\ntwo\n"
    assert not paged.exists()

    long = [f"{number}\n" for number in range(20)]
    paging.page(long, pager=False)
    assert screen.getvalue() == "one\ntwo\n" + "".join(long)
    paging.page(long)
    assert paged.read_text(encoding="utf-8") == "".join(long)

    monkeypatch.setenv("PAGER", "a-pager-that-is-not-there")
    screen.truncate(0)
    screen.seek(0)
    paging.page(long)
    assert screen.getvalue() == "".join(long)


def test_a_pager_that_is_closed_early_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "true")
    monkeypatch.setattr(paging.sys, "stdout", Terminal())
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield "a line\n" * 1000

    paging.page(endless())
    assert read > 0


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("done", "Training lowered the score of no held-out prompt."),
        (
            "running",
            "As far as is known, training lowered the score of no held-out prompt; the run is not "
            "finished, so scores may be missing.",
        ),
    ],
)
def test_no_regressions_of_a_run_that_is_not_finished_are_no_all_clear(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: str, told: str
) -> None:
    run = make_reported_run(tmp_path / "runs", heldout=0, status=status)
    assert main(["show", str(run), "--regressions", "--no-pager"]) == 0
    assert capsys.readouterr().out.startswith(told + "\n")
