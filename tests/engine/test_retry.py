"""Rows that fail: how many a run takes, and how they are tried again without losing anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from quick_model import QuickModel

from spa.engine import pipeline
from spa.engine.editions import Retry
from spa.engine.failing import TooManyFailures, parse_limit
from spa.engine.pipeline import run_recipe
from spa.engine.retrying import failed_rows, recipe_of, refuse_unfit
from spa.engine.rows import JudgedRow
from spa.engine.store import StageFolder
from spa.engine.stored_run import StoredRun, open_run
from spa.errors import RunError, UsageError
from spa.recipe import ComponentSpec, Recipe, load_recipe
from spa.types import Response, RunEvent

Load = Callable[..., Recipe]
CHEAP = ("evaluate.0.resamples=100",)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> QuickModel:
    return QuickModel(monkeypatch)


def sampling_fails_for(*numbers: int, reason: str = "server_error") -> Callable[[str], str | None]:
    texts = {f"Question number {number}?" for number in numbers}
    return lambda text: reason if text in texts else None


def run(recipe: Recipe, tmp_path: Path, **settings: Any) -> dict[str, Any]:
    result = run_recipe(recipe, runs=tmp_path / "runs", name="run", **settings)
    found: dict[str, Any] = json.loads((result.folder / "run.json").read_text(encoding="utf-8"))
    return found


def retry(tmp_path: Path, name: str = "run", *reasons: str) -> tuple[Retry, dict[str, Any]]:
    stored = open_run(tmp_path / "runs" / name)
    trying = Retry(frozenset(reasons) or None)
    result = run_recipe(recipe_of(stored), runs=tmp_path / "runs", name=name, retry=trying)
    return trying, dict(result.manifest)


def stage(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in manifest["stages"] if each["name"] == name]
    return dict(found)


def content(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and "answers-" not in str(path) and path.name != "writer.lock"
    }


def rows(tmp_path: Path, record: dict[str, Any], row_type: type[Any]) -> list[Any]:
    return list(StageFolder(tmp_path / "runs" / "store" / record["folder"], row_type).read())


@pytest.fixture
def failed_run(recipe: Load, tmp_path: Path, model: QuickModel) -> dict[str, Any]:
    """A run in which the samples of two training prompts failed."""
    loaded = recipe(CHEAP)
    trained = [n for n in range(10) if f"p{n}" not in heldout(loaded)][:2]
    model.fails = sampling_fails_for(*trained)
    manifest = run(loaded, tmp_path)
    assert stage(manifest, "sample")["failed"] == 2
    model.asked.clear()
    return manifest


def heldout(loaded: Recipe) -> set[str]:
    from spa.engine.dividing import divide

    source = loaded.prompts.registered.load_class()(loaded.prompts.config)
    split = loaded.prompts.split
    assert split is not None
    found = divide(source.prompts, split.heldout, loaded.seed)
    return {prompt.id for prompt in found if prompt.split == "heldout"}


def test_only_failed_rows_are_asked_and_what_depends_on_them_is_made_anew(
    failed_run: dict[str, Any], tmp_path: Path, model: QuickModel
) -> None:
    before = content(tmp_path / "runs" / "store")
    model.fails = lambda _: None
    trying, after = retry(tmp_path)

    (tried,) = trying.stages
    assert (tried.stage, tried.tried, tried.done, tried.failed) == ("sample", 2, 2, 0)
    sample, judge = stage(after, "sample"), stage(after, "judge")
    assert sample["failed"] == 0
    assert sample["details"]["edition"] == 1
    assert sample["rows"] == 21
    # Two prompts with three samples each, judged on two objectives; nothing else of these stages.
    assert sample["details"]["asked"] == 6
    assert sample["details"]["replayed"] == 0
    assert judge["details"]["asked"] == 12
    assert judge["details"]["replayed"] == 30
    assert stage(after, "refine")["details"]["asked"] == 2
    assert stage(after, "answer-base")["cached"]
    for name in ("judge", "refine", "denoise", "pairs", "train"):
        assert stage(after, name)["key"] != stage(failed_run, name)["key"]
    assert after["funnels"][0][1] == {"name": "sampled", "prompts": 7, "lost": {}, "pairs": None}

    # The rows that were good are the very same, in the order of the prompts.
    old = rows(tmp_path, stage(failed_run, "sample"), Response)
    new = rows(tmp_path, sample, Response)
    kept = {response.id for response in old}
    assert [each for each in new if each.id in kept] == old
    assert len({each.prompt_id for each in new}) == 7
    # Nothing that was there has changed.
    later = content(tmp_path / "runs" / "store")
    assert {name: later[name] for name in before} == before


def test_the_same_command_afterwards_reads_the_new_rows_and_another_run_the_old_ones(
    failed_run: dict[str, Any], recipe: Load, tmp_path: Path, model: QuickModel
) -> None:
    model.fails = lambda _: None
    _, after = retry(tmp_path)
    model.asked.clear()
    again = run(recipe(CHEAP), tmp_path)
    assert [each["key"] for each in again["stages"]] == [each["key"] for each in after["stages"]]
    assert all(each["cached"] for each in again["stages"])

    other = run_recipe(recipe(CHEAP), runs=tmp_path / "runs", name="other").manifest
    assert other["editions"] == {}
    assert [each["key"] for each in other["stages"]] == [
        each["key"] for each in failed_run["stages"]
    ]
    assert model.asked == []
    # It comes to the rows of the first by a retry of its own, which asks nothing.
    trying, taken = retry(tmp_path, "other")
    assert [each.stored for each in trying.stages] == [True]
    assert [each["key"] for each in taken["stages"]] == [each["key"] for each in after["stages"]]
    assert model.asked == []


def test_rows_that_fail_again_leave_the_run_as_it_was_and_count_their_attempts(
    failed_run: dict[str, Any], tmp_path: Path, model: QuickModel
) -> None:
    for attempts in (2, 3):
        trying, after = retry(tmp_path)
        (tried,) = trying.stages
        assert (tried.done, tried.failed, trying.changed) == (0, 2, False)
        assert [each["key"] for each in after["stages"]] == [
            each["key"] for each in failed_run["stages"]
        ]
        (under_way,) = [
            path.parent
            for path in (tmp_path / "runs" / "store").glob("sample-*/failures.jsonl")
            if path.parent.name != stage(failed_run, "sample")["folder"]
        ]
        noted = StageFolder(under_way, Response).failed_jobs()
        assert {each.attempts for each in noted.values()} == {attempts}
    model.fails = lambda _: None
    trying, after = retry(tmp_path)
    assert trying.changed
    assert stage(after, "sample")["failed"] == 0


def test_what_is_left_is_tried_again_from_the_newest_edition(
    failed_run: dict[str, Any], tmp_path: Path, model: QuickModel
) -> None:
    failed = sorted(
        StageFolder(
            tmp_path / "runs" / "store" / stage(failed_run, "sample")["folder"], Response
        ).failures()
    )
    model.fails = sampling_fails_for(int(failed[0][1:]))
    _, first = retry(tmp_path)
    record = stage(first, "sample")
    assert (record["failed"], record["details"]["edition"]) == (1, 1)
    left = StageFolder(tmp_path / "runs" / "store" / record["folder"], Response).failed_jobs()
    assert {job: each.attempts for job, each in left.items()} == {failed[0]: 2}
    model.fails = lambda _: None
    _, second = retry(tmp_path)
    assert stage(second, "sample")["details"]["edition"] == 2
    assert stage(second, "sample")["rows"] == 21


def test_lasting_reasons_are_left_alone_unless_they_are_named(
    recipe: Load, tmp_path: Path, model: QuickModel
) -> None:
    loaded = recipe(CHEAP)
    one, two = [n for n in range(10) if f"p{n}" not in heldout(loaded)][:2]

    def fails(text: str) -> str | None:
        return sampling_fails_for(one, reason="too_long")(text) or sampling_fails_for(two)(text)

    model.fails = fails
    run(loaded, tmp_path)
    stored = open_run(tmp_path / "runs" / "run")
    assert [dict(each.reasons) for each in failed_rows(stored)] == [
        {"server_error": 1, "too_long": 1}
    ]
    assert refuse_unfit(stored, ()) == {"server_error": 1}
    assert refuse_unfit(stored, ["too_long"]) == {"too_long": 1}
    with pytest.raises(UsageError, match=r"'timeout'.* 1 server_error, 1 too_long"):
        refuse_unfit(stored, ["timeout"])
    model.fails = lambda _: None
    model.asked.clear()
    _, after = retry(tmp_path)
    assert f"Question number {one}?" not in model.asked
    assert stage(after, "sample")["failure_reasons"] == {"too_long": 1}
    _, named = retry(tmp_path, "run", "too_long")
    assert stage(named, "sample")["failed"] == 0


def test_failed_judgements_are_tried_again(recipe: Load, tmp_path: Path, model: QuickModel) -> None:
    calls = iter(range(10**6))

    def fails(text: str) -> str | None:
        return "timeout" if "Is it safe?" in text and next(calls) < 4 else None

    model.fails = fails
    before = run(recipe(CHEAP), tmp_path)
    assert stage(before, "judge")["failed"] == 2  # two requests each
    model.fails = lambda _: None
    trying, after = retry(tmp_path)
    assert [each.stage for each in trying.stages] == ["judge"]
    assert stage(after, "sample")["key"] == stage(before, "sample")["key"]
    old = rows(tmp_path, stage(before, "judge"), JudgedRow)
    new = rows(tmp_path, stage(after, "judge"), JudgedRow)
    assert len(new) == 21
    kept = {row.response_id for row in old}
    assert [row for row in new if row.response_id in kept] == old
    samples = rows(tmp_path, stage(after, "sample"), Response)
    assert [row.response_id for row in new] == [response.id for response in samples]


def test_a_retry_that_is_interrupted_loses_nothing(
    failed_run: dict[str, Any], tmp_path: Path, model: QuickModel
) -> None:
    def fails(text: str) -> str | None:
        if "Is it safe?" in text:
            raise KeyboardInterrupt
        return None

    model.fails = fails
    with pytest.raises(KeyboardInterrupt):
        retry(tmp_path)
    manifest = json.loads((tmp_path / "runs" / "run" / "run.json").read_text(encoding="utf-8"))
    assert manifest["status"] == "done"
    assert manifest["stages"] == failed_run["stages"]
    model.fails = lambda _: None
    model.asked.clear()
    trying, after = retry(tmp_path)
    assert [each.stored for each in trying.stages] == [True]
    assert stage(after, "sample")["failed"] == 0
    assert not any(text.startswith("Question number") for text in model.asked[:6])


@pytest.mark.parametrize("limit", ["1", "10%"])
def test_a_run_stops_at_the_first_stage_with_too_many_failures(
    recipe: Load, tmp_path: Path, model: QuickModel, limit: str
) -> None:
    loaded = recipe(CHEAP)
    trained = [n for n in range(10) if f"p{n}" not in heldout(loaded)]
    model.fails = sampling_fails_for(*trained[-2:])
    with pytest.raises(
        TooManyFailures,
        match=r"stage sample: \d of 7 rows failed so far, more than --max-failures .* allows: "
        r"\d server_error\. For example p\d: it said no to 'Question number \d\?' "
        r"\(server_error\)\. What was done is kept\.",
    ) as caught:
        run(loaded, tmp_path, limit=parse_limit(limit))
    assert not caught.value.committed
    with pytest.raises(RunError, match=r"is not finished .*: spa run .*tiny\.yaml"):
        refuse_unfit(open_run(tmp_path / "runs" / "run"), ())
    model.fails = lambda _: None
    model.asked.clear()
    manifest = run(loaded, tmp_path, limit=parse_limit(limit))
    assert manifest["status"] == "done"
    # The two prompts that failed, and the held-out ones: what was done is not asked again.
    assert len([t for t in model.asked if t.startswith("Question number")]) == 2 * 3 + 3 * 2


def test_a_stage_from_the_store_is_held_to_the_limit_too(
    failed_run: dict[str, Any], recipe: Load, tmp_path: Path, model: QuickModel
) -> None:
    del failed_run
    with pytest.raises(TooManyFailures, match=r"2 of 7 rows failed, more than") as caught:
        run_recipe(recipe(CHEAP), runs=tmp_path / "runs", name="strict", limit=parse_limit("0"))
    assert caught.value.committed
    model.fails = lambda _: None
    trying, after = retry(tmp_path, "strict")  # a run that failed there is tried again as it is
    assert trying.changed
    assert after["status"] == "done"
    assert stage(after, "sample")["failed"] == 0


@pytest.mark.parametrize("text", ["", "-1", "1.5", "abc", "101%", "%", "1e3", "٣"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="neither a number of rows nor a share"):
        parse_limit(text)


def test_shares_are_exact() -> None:
    share = parse_limit("0.1%")
    assert not share.passed(1, 1000)
    assert share.passed(2, 1000)
    assert not share.passed(5, None)
    assert parse_limit("0").passed(1, None)
    assert not parse_limit("100%").passed(7, 7)


def test_a_recipe_comes_back_from_the_manifest(
    recipe: Load, tmp_path: Path, recipe_file: Path
) -> None:
    for loaded in (
        recipe(['objectives.0.definition="\U0001f600 \u2028 \u00fc: # {}"']),
        load_recipe(recipe_file, swaps=["loss=dpo", "refine=best-of-n"]),
        recipe(["judge.backend={use: hf, path: " + str(recipe().model.config.path) + "}"]),  # type: ignore[attr-defined]
    ):
        values = json.loads(json.dumps(loaded.resolved()))
        stored = StoredRun(tmp_path, {"recipe": values, "recipe_file": loaded.source})
        restored = recipe_of(stored)
        assert restored.resolved() == loaded.resolved()
        assert restored.source == loaded.source


def test_a_recipe_that_is_read_in_another_way_now_is_refused(recipe: Load, tmp_path: Path) -> None:
    values = json.loads(json.dumps(recipe().resolved()))
    del values["loss"]["beta"]
    stored = StoredRun(tmp_path, {"recipe": values, "recipe_file": "tiny.yaml"})
    with pytest.raises(RunError, match=r"loss\.beta: null -> 2\.5\nInstall the versions"):
        recipe_of(stored)


def test_another_revision_is_not_taken_for_failed_rows(
    failed_run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spa.engine.context import RunContext

    del failed_run
    original = RunContext.identity
    monkeypatch.setattr(
        RunContext, "identity", staticmethod(lambda spec: {**original(spec), "revision": 99})
    )
    with pytest.raises(RunError, match="would be made anew as a whole"):
        retry(tmp_path)


def test_a_training_is_not_done_anew_for_rows_that_failed_after_it(
    recipe: Load, tmp_path: Path, model: QuickModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spa.engine.context import RunContext

    loaded = recipe(CHEAP)
    texts = {f"Question number {name[1:]}?" for name in sorted(heldout(loaded))[:1]}

    def listen(event: RunEvent) -> None:
        if (event.kind, event.stage) == ("stage_finished", "train"):
            model.fails = lambda text: "server_error" if text in texts else None

    before = run(loaded, tmp_path, listen=listen)
    assert [each["name"] for each in before["stages"] if each["failed"]] == ["answer-round-1"]
    model.fails = lambda _: None
    original = RunContext.identity

    def identity(spec: ComponentSpec) -> dict[str, Any]:
        raised = {"revision": 99} if spec.kind == "loss" else {}
        return {**original(spec), **raised}

    with monkeypatch.context() as patch:
        patch.setattr(RunContext, "identity", staticmethod(identity))
        with pytest.raises(RunError, match="stage train would be made anew as a whole"):
            retry(tmp_path)
    trying, after = retry(tmp_path)
    assert [each.stage for each in trying.stages] == ["answer-round-1"]
    assert stage(after, "train")["cached"]


def test_editions_that_another_process_made_meanwhile_are_kept(
    recipe: Load, tmp_path: Path, model: QuickModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    del model
    loaded = recipe(CHEAP)
    run(loaded, tmp_path)
    file = tmp_path / "runs" / "run" / "run.json"
    original = pipeline.writer_lock

    def after_another(folder: Path) -> AbstractContextManager[None]:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps({**manifest, "editions": {"k": 2}}), encoding="utf-8")
        return original(folder)

    monkeypatch.setattr(pipeline, "writer_lock", after_another)
    assert run(loaded, tmp_path)["editions"] == {"k": 2}


def test_a_stage_of_several_rounds_gets_one_edition(
    recipe: Load, tmp_path: Path, model: QuickModel
) -> None:
    path = recipe().model.config.path  # type: ignore[attr-defined]
    loaded = recipe([*CHEAP, "iterations=3", f"generate.backend={{use: hf, path: {path}}}"])
    failing = [n for n in range(10) if f"p{n}" not in heldout(loaded)][:2]
    model.fails = sampling_fails_for(*failing)
    before = run(loaded, tmp_path)
    model.fails = sampling_fails_for(failing[0])
    trying, after = retry(tmp_path)
    samples = [each for each in after["stages"] if each["name"] == "sample"]
    assert samples[1]["key"] == samples[2]["key"]  # read by the last two rounds
    assert [each["details"]["edition"] for each in samples] == [1, 1, 1]
    assert [each.stage for each in trying.stages] == ["sample", "sample"]
    old = [each["key"] for each in before["stages"] if each["name"] == "sample"]
    assert set(after["editions"]) == set(old)
    again = run(loaded, tmp_path)
    assert all(each["cached"] for each in again["stages"])
