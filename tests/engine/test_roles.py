"""Runs in which components ask other models than the policy, and judges with members."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_llama import save_tiny_llama

from spa.components.backends.hf import HFBackend
from spa.engine.ahead import check_ahead
from spa.engine.models import ModelPool
from spa.engine.pipeline import planned_stages, run_recipe
from spa.engine.store import StageFolder
from spa.errors import RecipeError, RunError
from spa.recipe import Recipe
from spa.types import LabelRequest, Response, RunEvent

Load = Callable[..., Recipe]


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model with the same tokenizer."""
    folder = tmp_path_factory.mktemp("other-llama")
    return save_tiny_llama(folder, seed=1, max_position_embeddings=1536)


@pytest.fixture
def other(other_folder: Path) -> str:
    return f"{{use: hf, path: {other_folder}}}"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders whose weights were loaded, in order."""
    from spa.components.backends import hf

    found: list[str] = []
    original = hf.load_policy

    def counted(spec: Any, *rest: Any, **more: Any) -> Any:
        found.append(Path(spec.path).name[:4] + ("+adapter" if spec.adapter else ""))
        return original(spec, *rest, **more)

    monkeypatch.setattr(hf, "load_policy", counted)
    return found


def run(recipe: Recipe, tmp_path: Path) -> dict[str, Any]:
    result = run_recipe(recipe, runs=tmp_path / "runs")
    manifest: dict[str, Any] = json.loads((result.folder / "run.json").read_text(encoding="utf-8"))
    return manifest


def stages(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {stage["name"]: stage for stage in manifest["stages"]}


def rows(manifest: dict[str, Any], tmp_path: Path, name: str, row_type: type[Any]) -> list[Any]:
    folder = tmp_path / "runs" / "store" / stages(manifest)[name]["folder"]
    return list(StageFolder(folder, row_type).read())


def same_tokenizer(self: HFBackend) -> str:
    return "one for all"


def by_path(self: HFBackend) -> str:
    return self.config.path


def test_roles_with_the_same_settings_load_one_engine(
    recipe: Load, tmp_path: Path, other: str, loads: list[str]
) -> None:
    sets = ["refine=null", f"generate.backend={other}", f"judge.backend={other}"]
    run(recipe([*sets, "prompts.split.heldout=0"]), tmp_path)
    assert loads == ["othe"]
    assert "tiny" not in loads  # training loads the policy by itself


def test_the_policy_named_once_more_is_the_policy(
    recipe: Load, tmp_path: Path, tiny_folder: Path, loads: list[str]
) -> None:
    itself = f"{{use: hf, path: {tiny_folder}}}"
    plain = run(recipe(["prompts.split.heldout=0"]), tmp_path)
    assert loads == ["tiny"]
    named = run(
        recipe(
            [
                "prompts.split.heldout=0",
                *(f"{each}.backend={itself}" for each in ("generate", "judge", "refine")),
            ]
        ),
        tmp_path,
    )
    assert loads == ["tiny"]
    assert [stage["key"] for stage in named["stages"]] == [
        stage["key"] for stage in plain["stages"]
    ]
    assert "token_ids" not in stages(named)["sample"]["details"]


@pytest.mark.parametrize(
    ("tokenizer", "ids"), [(same_tokenizer, "kept"), (by_path, "dropped"), (None, "dropped")]
)
def test_token_ids_of_another_model_are_kept_only_if_the_tokenizers_are_one(
    recipe: Load,
    tmp_path: Path,
    other: str,
    monkeypatch: pytest.MonkeyPatch,
    tokenizer: Any,
    ids: str,
) -> None:
    monkeypatch.setattr(HFBackend, "tokenizer_fingerprint", tokenizer, raising=False)
    if tokenizer is None:
        monkeypatch.delattr(HFBackend, "tokenizer_fingerprint")
    manifest = run(recipe([f"generate.backend={other}", f"refine.backend={other}"]), tmp_path)
    for name in ("sample", "refine"):
        assert stages(manifest)[name]["details"]["token_ids"] == ids
        made: list[Response] = rows(manifest, tmp_path, name, Response)
        assert made
        assert all(bool(response.token_ids) == (ids == "kept") for response in made)
    for name in ("answer-base", "answer-round-1"):
        assert "token_ids" not in stages(manifest)[name]["details"]
        assert all(response.token_ids for response in rows(manifest, tmp_path, name, Response))
    assert stages(manifest)["train"]["rows"] > 0


def test_only_what_is_not_the_policys_own_is_dropped(
    recipe: Load, tmp_path: Path, other: str
) -> None:
    manifest = run(recipe([f"refine.backend={other}", "prompts.split.heldout=0"]), tmp_path)
    assert "token_ids" not in stages(manifest)["sample"]["details"]
    assert all(response.token_ids for response in rows(manifest, tmp_path, "sample", Response))
    assert manifest["roles"] == {
        "refine": {
            "backend": "spa-align/hf",
            "parameters": manifest["policy_parameters"],
            "type": "llama",
        }
    }


def test_another_policy_shares_what_a_model_of_its_own_wrote(
    recipe: Load, tmp_path: Path, other: str, loads: list[str]
) -> None:
    sets = ["prompts.split.heldout=0", "refine=null"]
    backends = [f"generate.backend={other}", f"judge.backend={other}"]
    run(recipe([*sets, *backends]), tmp_path)
    again = run(recipe([*sets, *backends, "model.dtype=bfloat16"]), tmp_path)
    cached = {name: stage["cached"] for name, stage in stages(again).items()}
    assert cached == {**dict.fromkeys(cached, True), "train": False}
    assert loads == ["othe"]


def test_a_model_of_its_own_stays_the_same_in_every_round(
    recipe: Load, tmp_path: Path, other: str, loads: list[str]
) -> None:
    loaded = recipe(["iterations=2", "prompts.split.heldout=0", f"generate.backend={other}"])
    manifest = run(loaded, tmp_path)
    sampled = [stage for stage in manifest["stages"] if stage["name"] == "sample"]
    judged = [stage for stage in manifest["stages"] if stage["name"] == "judge"]
    assert [stage["cached"] for stage in sampled] == [False, True]
    assert [stage["cached"] for stage in judged] == [False, False]
    assert loads == ["othe", "tiny", "tiny+adapter"]


def test_an_evaluator_may_ask_a_model_of_its_own(
    recipe: Load, tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = HFBackend.answer

    def noted(self: HFBackend, requests: Sequence[Any]) -> Any:
        if "Better answer" in requests[0].prefill:
            asked.append(Path(self.config.path).name[:4])
        return original(self, requests)

    monkeypatch.setattr(HFBackend, "answer", noted)
    pairwise = "{use: pairwise, min_label_mass: 0.0}"
    own = f"{{use: pairwise, min_label_mass: 0.0, backend: {other}}}"
    run(recipe([f"evaluate=[{pairwise}]"]), tmp_path)
    assert set(asked) == {"tiny"}
    asked.clear()
    loaded = recipe([f"evaluate=[{pairwise}, {own}]"])
    manifest = run(loaded, tmp_path)
    assert set(asked) == {"othe"}
    names = [stage["name"] for stage in manifest["stages"]]
    assert names == planned_stages(loaded)
    assert names[-2:] == ["evaluate-pairwise", "evaluate-pairwise/2"]
    assert [metric["evaluator"] for metric in manifest["metrics"]].count("pairwise/2") == len(
        manifest["metrics"]
    ) / 2


ENSEMBLE = (
    "judge={{use: ensemble, members: [{{use: constitution, min_label_mass: 0.0}},"
    " {{use: constitution, min_label_mass: 0.0, labels: [A, B], values: [0, 1],"
    " backend: {other}}}]}}"
)


def test_an_ensemble_of_two_models(recipe: Load, tmp_path: Path, other: str) -> None:
    from spa.engine.rows import JudgedRow

    alone = run(recipe(), tmp_path)
    loaded = recipe([ENSEMBLE.format(other=other)])
    events: list[RunEvent] = []
    run_recipe(loaded, runs=tmp_path / "runs", listen=events.append, name="both")
    manifest = json.loads((tmp_path / "runs" / "both" / "run.json").read_text())
    names = [stage["name"] for stage in manifest["stages"]]
    assert names == planned_stages(loaded)
    assert names[2:5] == ["judge/1", "judge/2", "judge"]
    assert [e.stage for e in events if e.kind == "stage_finished"] == names
    found = stages(manifest)
    # The first member is the judge of the other recipe: what it scored is not judged again.
    assert found["judge/1"]["key"] == stages(alone)["judge"]["key"]
    assert found["judge/1"]["cached"]
    assert not found["judge/2"]["cached"]
    assert found["judge"]["details"]["asked"] == 0
    assert [c["component"] for c in found["judge"]["components"]] == [
        "spa-align/ensemble",
        "spa-align/constitution",
        "spa-align/constitution",
    ]
    first, second, both = (
        {row.response_id: row.scores for row in rows(manifest, tmp_path, name, JudgedRow)}
        for name in ("judge/1", "judge/2", "judge")
    )
    assert len(both) == 21
    for response, scores in both.items():
        for objective, score in scores.items():
            one = first[response][objective].value
            two = 1 + 8 * second[response][objective].value
            assert score.details["members"] == pytest.approx([one, two])
            assert score.value == pytest.approx((one + two) / 2)
    assert manifest["roles"]["judge.members.1"]["type"] == "llama"
    again = run_recipe(loaded, runs=tmp_path / "runs", name="both").manifest
    assert all(stage["cached"] for stage in again["stages"])


def test_planned_stages_of_an_ensemble_in_rounds(recipe: Load, tmp_path: Path, other: str) -> None:
    loaded = recipe([ENSEMBLE.format(other=other), "iterations=2", "prompts.limit=8"])
    events: list[RunEvent] = []
    run_recipe(loaded, runs=tmp_path / "runs", listen=events.append)
    assert [e.stage for e in events if e.kind == "stage_finished"] == planned_stages(loaded)


def test_a_member_that_breaks_leaves_its_scores_out(
    recipe: Load, tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spa.components.judges.constitution import ConstitutionJudge
    from spa.engine.rows import JudgedRow

    judged = ConstitutionJudge.score

    def breaks(self: Any, prompt: Any, response: Any, objectives: Any) -> Any:
        if self.scale == (0.0, 1.0) and response.id.endswith("/s0"):
            raise ZeroDivisionError("no")
        return (yield from judged(self, prompt, response, objectives))

    monkeypatch.setattr(ConstitutionJudge, "score", breaks)
    sets = ["refine=null", "prompts.split.heldout=0", ENSEMBLE.format(other=other)]
    manifest = run(recipe(sets), tmp_path)
    assert stages(manifest)["judge/2"]["failure_reasons"] == {"component_error": 10}
    assert stages(manifest)["judge"]["details"]["unscored"] == {"too_few_members": 10}
    row = next(
        row
        for row in rows(manifest, tmp_path, "judge", JudgedRow)
        if row.response_id.endswith("/s0")
    )
    assert row.scores["helpfulness"].details["reasons"] == [None, "component_error"]
    enough = run(recipe([*sets, "judge.min_members=1"]), tmp_path)
    assert stages(enough)["judge"]["details"]["unscored"] == {}


def test_what_members_and_roles_ask_is_checked_ahead(recipe: Load, other: str) -> None:
    members = (
        "judge={use: ensemble, members: [{use: constitution}, "
        f"{{use: constitution, labels: [1, 10], backend: {other}}}]}}"
    )
    with pytest.raises(RecipeError) as caught:
        check_ahead(recipe([members]), ModelPool())
    assert [(p.path, p.message.split(" for the ")[0]) for p in caught.value.problems] == [
        ("judge.members.1", "label '10' is not one token after 'Score: '")
    ]


def test_members_whose_scales_do_not_go_together_are_found_ahead(
    recipe: Load, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spa.components.judges.constitution import ConstitutionJudge

    monkeypatch.setattr(
        ConstitutionJudge,
        "scale",
        property(lambda self: None if "A" in self._config.labels else (1.0, 9.0)),
    )
    with pytest.raises(RecipeError) as caught:
        check_ahead(recipe([ENSEMBLE.format(other=other)]), ModelPool())
    assert [(p.path, p.message) for p in caught.value.problems] == [
        (
            "judge.members",
            "judge 'spa-align/ensemble': member 1 has no scale, so its scores cannot be mapped to "
            "that of the others. Use members with a scale, or members that all have none.",
        )
    ]


def test_what_a_backend_counts_goes_into_the_stage_that_it_counted_for(
    recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = HFBackend.answer

    def counted(self: Any, requests: Sequence[Any]) -> Any:
        self.spent = getattr(self, "spent", 0.0) + len(requests)
        return original(self, requests)

    def figures(self: Any) -> dict[str, float]:
        return {"cost": getattr(self, "spent", 0.0)}

    monkeypatch.setattr(HFBackend, "answer", counted)
    monkeypatch.setattr(HFBackend, "figures", figures, raising=False)
    manifest = run(recipe(), tmp_path)
    told = {
        name: stage["details"]["backend"]["cost"]
        for name, stage in stages(manifest).items()
        if "backend" in stage["details"]
    }
    assert told == {
        name: stage["details"]["asked"]
        for name, stage in stages(manifest).items()
        if stage["details"].get("asked")
    }
    assert told["sample"] == 21
    again = run(recipe(), tmp_path)
    assert stages(again)["sample"]["details"]["backend"] == {"cost": 21}


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), RunError("gone")], ids=str)
def test_all_backends_are_closed_however_a_run_ends(
    recipe: Load,
    tmp_path: Path,
    other: str,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
) -> None:
    opened: list[HFBackend] = []
    closed: list[HFBackend] = []
    made, close, answer = HFBackend.__init__, HFBackend.close, HFBackend.answer

    def opens(self: Any, config: Any) -> None:
        made(self, config)
        opened.append(self)

    def closes(self: Any) -> None:
        closed.append(self)
        close(self)

    def dies(self: Any, requests: Sequence[Any]) -> Any:
        if isinstance(requests[0], LabelRequest):
            assert len(opened) - len(closed) == 2  # that of the policy, too
            raise raised
        return answer(self, requests)

    monkeypatch.setattr(HFBackend, "__init__", opens)
    monkeypatch.setattr(HFBackend, "close", closes)
    monkeypatch.setattr(HFBackend, "answer", dies)
    monkeypatch.setattr(HFBackend, "remote", True, raising=False)
    with pytest.raises(type(raised)):
        run(recipe([f"judge.backend={other}"]), tmp_path)
    assert {id(backend) for backend in closed} == {id(backend) for backend in opened}
    assert len(closed) == len(opened)


def test_the_model_card_names_other_models(
    recipe: Load, tmp_path: Path, other: str, other_folder: Path
) -> None:
    manifest = run(recipe([f"generate.backend={other}", "prompts.split.heldout=0"]), tmp_path)
    output = tmp_path / "runs" / manifest["name"] / manifest["outputs"]["path"]
    card = (output / "README.md").read_text(encoding="utf-8")
    assert f"| generate asked | {other_folder.name} |" in card
    assert str(other_folder) not in card
    assert "improved, by the model itself where the table names no other." in card
