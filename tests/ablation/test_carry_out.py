"""Runs one after the other, with a stand-in for the process that starts them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from spa.ablation import carry_out as module
from spa.ablation.axes import read_axes
from spa.ablation.carry_out import LOG, PlannedCell, carry_out, is_done
from spa.ablation.grid import make_grid
from spa.ablation.record import AblationRecord, read_record, record_of
from spa.ablation.sharing import saved, shared_stages
from spa.engine.planning import RunPlan, StagePlan
from spa.errors import SpaError

RECIPE = """
name: small
objectives: [{name: harmlessness, definition: Is it safe?}]
model: {use: hf, path: /nowhere/model}
prompts: {use: jsonl, path: prompts.jsonl}
generate: {use: diverse, n: 3, system_prompts: [Be kind.]}
judge: {use: constitution}
pairs: {use: lexicographic}
loss: {use: spa}
train: {epochs: 1}
"""


def plan(name: str, sample: str, train: str, status: Any = "miss") -> RunPlan:
    stages = (
        StagePlan("sample", 1, "sample-1", sample, status),
        StagePlan("train", 1, "train-1", train, status),
        StagePlan("answer-round-1", 1, "", "", status, waits_for="train"),
    )
    return RunPlan(name, stages)


class Work:
    """An ablation of three epochs, and a server that does as the test says."""

    def __init__(self, folder: Path) -> None:
        file = folder / "small.yaml"
        file.write_text(RECIPE, encoding="utf-8")
        self.runs = folder / "runs"
        grid = make_grid([file], read_axes([], ["train.epochs=1,2,3"]))
        self.record = record_of(grid, "all", "spa ablate", ["--max-failures", "5%"])
        self.planned = {
            cell.run: PlannedCell(cell.recipe, plan(cell.run, "s", f"t{number}"))
            for number, cell in enumerate(grid.cells)
        }
        self.events: list[Any] = []
        self.started: list[str] = []
        self.acts: dict[int, Any] = {}
        self.stopped = 0

    def run(self) -> None:
        self.started.clear()
        self.events.clear()
        carry_out(self.record, self.planned, self.runs, self.events.append)

    def statuses(self) -> list[str]:
        return [cell.status for cell in self.record.cells]

    def finish(self, run: str, **changes: Any) -> None:
        recipe = self.planned[run].recipe.resolved()
        manifest = {"status": "done", "recipe_file": "x", "recipe": recipe, **changes}
        (self.runs / run / "run.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    work = Work(tmp_path)

    class Server:
        code: int | None = 0
        ended = -15

        def __enter__(self) -> Server:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def stop(self) -> None:
            work.stopped += 1

        def run(self, arguments: list[str], log: Path) -> Any:
            run = arguments[arguments.index("--name") + 1]
            work.started.append(run)
            place = [cell.run for cell in work.record.cells].index(run)
            act = work.acts.get(place)
            self.code = 0
            if act is None:
                yield {"kind": "stage_started", "run": run, "stage": "sample"}
                yield {"kind": "stage_finished", "run": run, "stage": "sample"}
                yield {"kind": "result", "folder": "much"}
                work.finish(run)
            else:
                self.code = yield from act(run, log)

    monkeypatch.setattr(module, "CellServer", Server)
    return work


def test_all_runs_and_what_is_told_of_them(work: Work) -> None:
    work.run()
    assert work.statuses() == ["done"] * 3
    assert work.started == [cell.run for cell in work.record.cells]
    kinds = [event["kind"] for event in work.events]
    assert kinds[:4] == ["cell_started", "stage_started", "stage_finished", "cell_finished"]
    assert "result" not in kinds
    stored = read_record(work.runs / "all")
    assert stored == work.record
    assert stored.status == "done"
    log = (work.runs / work.started[1] / LOG).read_text(encoding="utf-8")
    assert log.startswith("$ spa run ")
    assert "--set train.epochs=2 --max-failures 5% --runs-dir " in log


def test_the_same_again_runs_what_is_not_stored(work: Work) -> None:
    work.run()
    first = work.record.cells[0].run
    work.planned[first] = PlannedCell(work.planned[first].recipe, plan(first, "s", "t0", "hit"))
    work.run()
    assert work.started == [cell.run for cell in work.record.cells[1:]]  # their plans say "miss"
    assert work.statuses() == ["done"] * 3
    assert is_done(work.planned[first], work.runs / first)
    work.finish(first, status="failed")
    assert not is_done(work.planned[first], work.runs / first)


def fails(error: str | None, stage: str, code: int = 1, said: str = "") -> Any:
    def act(run: str, log: Path) -> Any:
        with log.open("a", encoding="utf-8") as file:
            file.write(said)
        yield {"kind": "stage_progress", "run": run, "stage": stage}
        if error:
            yield {"kind": "run_failed", "run": run, "details": {"error": error}}
        return code

    return act


def test_a_failure_is_told_and_the_others_go_on(work: Work) -> None:
    work.acts[0] = fails("the disk is full", "train")
    work.run()
    assert work.statuses() == ["failed", "done", "done"]
    assert work.record.status == "failed"
    assert work.record.cells[0].error == "the disk is full"
    told = [e["error"] for e in work.events if e["kind"] == "cell_finished"]
    assert told == ["the disk is full", None, None]


@pytest.mark.parametrize(
    ("code", "said", "error"),
    [
        (2, "a: first\nb: mistake\n", "a: first\nb: mistake"),
        (1, "", "it ended with code 1 and said nothing"),
        (-9, "", "it was killed by SIGKILL, as systems do when memory runs out. What it said"),
        (-11, "", "it was killed by SIGSEGV. What it said is in "),
        (None, "", "the process that starts runs was killed by SIGTERM. What the run said is in"),
    ],
)
def test_a_run_that_cannot_say_why_it_ended(work: Work, code, said, error) -> None:
    work.acts[1] = fails(None, "train", code, said)
    work.run()
    assert work.statuses() == ["done", "failed", "done"]
    assert work.record.cells[1].error.startswith(error)


def test_a_stage_that_failed_twice_is_not_tried_again(work: Work) -> None:
    work.acts.update({place: fails("no answer", "sample") for place in range(3)})
    work.run()
    assert work.statuses() == ["failed", "failed", "skipped"]
    assert len(work.started) == 2
    assert work.record.cells[2].error == (
        "its stage sample failed in 2 runs that share it, the last time in "
        f"{work.started[1]}: no answer"
    )
    work.acts.clear()
    work.run()
    assert work.statuses() == ["done"] * 3
    assert work.record.cells[2].error is None


def test_a_recipe_that_changed_meanwhile_is_noticed(work: Work) -> None:
    def act(run: str, log: Path) -> Any:
        work.finish(run, recipe={"another": 1})
        yield {"kind": "run_started", "run": run}
        return 0

    work.acts[0] = act
    work.run()
    assert work.statuses() == ["failed", "done", "done"]
    assert "the recipe was changed while the ablation ran" in work.record.cells[0].error


def test_an_interrupt_stops_the_run_under_way_and_no_other_begins(work: Work) -> None:
    def act(run: str, log: Path) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        yield {"kind": "stage_progress", "run": run, "stage": "train"}
        return 130

    work.acts[1] = act
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        work.run()
    assert signal.getsignal(signal.SIGINT) is before
    assert work.stopped == 1
    assert work.statuses() == ["done", "interrupted", "waiting"]
    assert [event["kind"] for event in work.events].count("cell_stopping") == 1
    assert read_record(work.runs / "all").status == "interrupted"


def test_what_is_shared_is_counted(work: Work) -> None:
    plans = [(each.recipe, each.plan) for each in work.planned.values()]
    hit = plan("x", "s", "t0", "hit")
    stages = shared_stages([(plans[0][0], hit), *plans[1:]])
    told = [(s.title, s.runs, s.computations, s.stored, s.least, s.most) for s in stages]
    assert told == [
        ("sample", 3, 1, 1, 3, 3),
        ("train", 3, 3, 1, 1, 1),
        ("answer-round-1", 3, 3, 1, 1, 1),
    ]
    assert saved(stages) == 2


def test_the_first_of_several_rounds_is_shared_with_runs_of_one(work: Work) -> None:
    recipe = work.planned[work.record.cells[0].run].recipe
    rounds = tuple(
        StagePlan(f"1/{name}", 1, f"{name}-1", key, "miss")
        for name, key in (("sample", "s"), ("train", "t0"))
    )
    answers = StagePlan("1/answer-round-1", 1, "", "", "miss", waits_for="1/train")
    second = StagePlan("2/sample", 2, "", "", "miss", waits_for="1/train")
    stages = shared_stages(
        [(recipe, plan("one", "s", "t0")), (recipe, RunPlan("two", (*rounds, answers, second)))]
    )
    told = {s.title: (s.runs, s.computations) for s in stages}
    assert told == {
        "sample": (2, 1),
        "train": (2, 1),
        "answer-round-1": (2, 1),
        "2/sample": (1, 1),
    }


def test_records_that_cannot_be_read(tmp_path: Path, work: Work) -> None:
    assert read_record(tmp_path) is None
    file = tmp_path / "ablation.json"
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(
        SpaError, match=r"cannot be read: 'cells'\. Delete it, and run the ablation"
    ):
        read_record(tmp_path)
    record: AblationRecord = work.record
    record.cells[0].run = "../elsewhere"
    from spa.ablation.record import write_record

    write_record(tmp_path, record)
    with pytest.raises(SpaError, match="names a run that does not lie beside it"):
        read_record(tmp_path)
