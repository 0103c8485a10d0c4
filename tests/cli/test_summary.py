"""What the end of a run says, from its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spa.cli import console
from spa.cli.summary import judge_line, metrics_tables, print_summary

POLICY = {"use": "spa-align/hf", "path": "models/small"}
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    console.out.cache_clear()


def stage(name: str, **details: Any) -> dict[str, Any]:
    asked = {"asked": 0, "replayed": 0}
    return {"name": name, "rows": 21, "details": {**asked, **details}}


def manifest(**changes: Any) -> dict[str, Any]:
    """Of a run whose judge asks no model."""
    whole = {
        "funnels": [],
        "metrics": [],
        "stages": [],
        "recipe": {"model": POLICY, "judge": {"backend": None}, "evaluate": []},
        "outputs": {"kind": "adapter", "path": "../store/train-1/adapter"},
        "policy_parameters": None,
    }
    return {**whole, **changes}


def printed(capsys: Captured, **changes: Any) -> list[str]:
    print_summary(Path("runs/r"), manifest(**changes))
    return [line for line in capsys.readouterr().out.splitlines() if line]


def test_unscored_responses_are_told_with_their_reasons(capsys: Captured) -> None:
    stages = [
        stage("judge", unscored={"unparsable": 2, "low_label_mass": 1}),
        stage("judge-refined", unscored={}),
        stage("judge-answers-base", unscored={"unparsable": 4}),
    ]
    assert printed(capsys, stages=stages)[:-4] == [
        "Note: responses without a score: 3 of 21 in judge (1 low_label_mass, 2 unparsable), 4 of "
        "21 in judge-answers-base (4 unparsable). They are in no pair, and a missing score is in "
        "no mean."
    ]


@pytest.mark.parametrize(
    ("kind", "name", "title"), [("adapter", "adapter", "Adapter: "), ("full", "model", "Model:   ")]
)
def test_it_ends_with_the_result_and_the_next_command(
    capsys: Captured, kind: str, name: str, title: str
) -> None:
    outputs = {"kind": kind, "path": f"../store/train-1/{name}"}
    assert printed(capsys, outputs=outputs) == [
        f"{title}runs/store/train-1/{name}",
        "Run:     runs/r/run.json",
        "Report:  spa report runs/r --open",
        "Next:    spa export runs/r --format merged --output merged-model",
    ]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [(134_515_008, "135 million parameters"), (21_000, "less than a million parameters")],
)
def test_a_small_model_that_judges_itself_is_named_as_one(
    capsys: Captured, parameters: int, said: str
) -> None:
    found = printed(capsys, stages=[stage("judge", asked=4)], policy_parameters=parameters)
    assert found[1] == (
        f"Note: a judge of {said} carries little signal. These scores show that the pipeline "
        "works, not that the model got better."
    )


def judged_by(backend: dict[str, Any], **facts: Any) -> dict[str, Any]:
    recipe = {"model": POLICY, "judge": {"backend": backend}, "evaluate": []}
    return {"recipe": recipe, "stages": [stage("judge", asked=4)], **facts}


OTHER = {"use": "spa-align/hf", "path": "models/large"}
ITSELF = (
    "Note: the model judged its own answers. Models prefer their own text: confirm with another "
    "judge."
)
KIN = (
    "Note: judge and policy are both of type llama. Models prefer text of their own family: if "
    "these two are of one, confirm with a judge of another."
)
SMALL = (
    "Note: a judge of 900 million parameters carries little signal. These scores show that the "
    "pipeline works, not that the model got better."
)


@pytest.mark.parametrize(
    ("backend", "facts", "notes"),
    [
        (POLICY, {"policy_type": "llama", "judge_type": "llama"}, [ITSELF]),
        (OTHER, {"policy_type": "llama", "judge_type": "llama"}, [KIN]),
        (OTHER, {"policy_type": "llama", "judge_type": "qwen3"}, []),
        (OTHER, {"policy_type": None, "judge_type": None}, []),
        ({"use": "served/api", "name": "m"}, {"policy_parameters": 9 * 10**8}, []),
        (OTHER, {"judge_parameters": 9 * 10**8, "policy_parameters": 8 * 10**9}, [SMALL]),
        (OTHER, {"judge_parameters": 10**9, "policy_parameters": 9 * 10**8}, []),
    ],
)
def test_a_judge_that_is_kin_or_small_is_named(
    capsys: Captured, backend: dict[str, Any], facts: dict[str, Any], notes: list[str]
) -> None:
    assert printed(capsys, **judged_by(backend, **facts))[:-4] == notes


@pytest.mark.parametrize(("known", "notes"), [(False, 1), (True, 0)])
def test_kin_judges_of_evaluators_are_told_once(capsys: Captured, known: bool, notes: int) -> None:
    kin = {"path": "evaluate.0", "relation": "itself", "family": "llama", "known": known}
    found = printed(capsys, **judged_by(POLICY, kin_judges=[kin]))[:-4]
    assert len(found) == notes
    assert all(line.startswith("Note: the model judged its own answers.") for line in found)


def test_of_a_judge_with_members_those_that_were_asked_are_named(capsys: Captured) -> None:
    members = [{"backend": None}, {"backend": OTHER}, {"backend": None}]
    recipe = {
        "model": POLICY,
        "judge": {"backend": None, "members": members},
        "evaluate": [],
    }
    facts = {
        "recipe": recipe,
        "policy_type": "llama",
        "policy_parameters": 8 * 10**9,
        "roles": {"judge.members.1": {"type": "llama", "parameters": 9 * 10**8}},
    }
    stages = [stage("judge/1"), stage("judge/2", asked=4), stage("judge/3"), stage("judge")]
    assert printed(capsys, stages=stages, **facts)[:-4] == [KIN, SMALL]
    stages = [stage("judge/1", asked=4), stage("judge/2"), stage("judge/3", asked=4)]
    assert printed(capsys, stages=stages, **facts)[:-4] == [ITSELF]
    assert printed(capsys, stages=[stage("judge/1"), stage("judge")], **facts)[:-4] == []


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([stage("sample", backend={"retries": 2.0})], []),
        ([stage("sample", backend={"cost": 0.25}), stage("judge")], ["cost 0.25"]),
        (
            [
                {**stage("sample", backend={"cost": 1.0}), "cached": True},
                {**stage("answer-base", backend={"cost": 0.234}), "cached": False},
                {**stage("refine", backend={"cost": 1.0}), "cached": False},
            ],
            ["cost 1.23, and 1.00 for stages from the store"],
        ),
    ],
)
def test_the_cost_is_told_where_a_backend_says_one(
    capsys: Captured, stages: list[Any], said: list[str]
) -> None:
    assert printed(capsys, stages=stages)[:-4] == said


def metric(model: str, value: float | None, low: float | None, high: float | None) -> Any:
    return {
        "evaluator": "judge-scores",
        "name": "harmlessness",
        "model": model,
        "value": value,
        "low": low,
        "high": high,
        "n": 8,
        "missing": 0,
    }


@pytest.mark.parametrize(
    ("change", "bold"),
    [
        (metric("round-1 - base", 0.5, 0.2, 0.8), True),
        (metric("round-1 - base", -0.5, -0.8, -0.2), True),
        (metric("round-1 - base", 0.5, 0.0, 0.8), False),
        (metric("round-1 - base", 0.5, -0.1, 0.8), False),
        (metric("round-1 - base", 0.5, None, None), False),
        (metric("round-1 - base", None, None, None), False),
        (metric("round-1", 5.0, 4.0, 6.0), False),
    ],
)
def test_only_differences_whose_interval_excludes_0_are_bold(change: Any, bold: bool) -> None:
    (table,) = metrics_tables([metric("base", 5.0, 4.0, 6.0), change], {})
    cells = [column._cells[0] for column in table.columns[1:]]
    assert [getattr(cell, "style", None) for cell in cells] == ["", "bold" if bold else ""]


def test_shares_have_a_table_of_their_own_and_no_sign() -> None:
    share = {**metric("round-1 against base", 0.25, 0.11, 0.46), "name": "win_rate"}
    plain, shares = metrics_tables([metric("base", 5.0, 4.0, 6.0), share], {"judge-scores": 0.95})
    assert [column.header for column in plain.columns] == ["figure", "base"]
    assert shares.title == "judge-scores, shares on 8 held-out prompts (95 % interval)"
    assert [column.header for column in shares.columns] == ["figure", "round-1 against base"]
    (cell,) = shares.columns[1]._cells
    assert (str(cell), getattr(cell, "style", None)) == ("0.25 [0.11, 0.46]", "")


def test_titles_say_whose_prompts_were_measured() -> None:
    figures = [metric("base", 5.0, 4.0, 6.0), {**metric("base", 0.5, 0, 1), "evaluator": "refusal"}]
    tables = metrics_tables(figures, {"refusal": 0.9}, {"refusal"})
    assert [table.title for table in tables] == [
        "judge-scores on 8 held-out prompts",
        "refusal on 8 prompts of its own (90 % interval)",
    ]


CHECKED = {
    "verdict": "plumbing only",
    "probes": 46,
    "overall": {"auc": 0.519, "low": 0.44, "high": 0.6},
}


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (None, "Judge:   not checked. To check it: spa judge-check 'my recipe.yaml'"),
        (CHECKED, "Judge:   plumbing only, AUC 0.52 [0.44, 0.60] on 46 probes"),
    ],
)
def test_it_says_what_is_known_of_the_judge(capsys: Captured, found: Any, line: str) -> None:
    facts = {"recipe_file": "my recipe.yaml", "judge_check": found}
    assert printed(capsys, **facts)[:-4] == [line]


def test_a_check_without_an_interval_or_an_auc() -> None:
    alone = {"auc": 1.0, "low": None, "high": None}
    found = {**CHECKED, "probes": 1, "overall": alone}
    assert judge_line(found, "") == "Judge:   plumbing only, AUC 1.00 on 1 probe"
    found = {**CHECKED, "overall": {**alone, "auc": None}}
    assert judge_line(found, "") == "Judge:   plumbing only, no AUC on 46 probes"


def test_the_command_that_checks_the_judge_has_the_options_of_the_run(capsys: Captured) -> None:
    print_summary(
        Path("runs/r"), manifest(judge_check=None), check="spa judge-check r.yaml --set seed=1"
    )
    assert (
        "not checked. To check it: spa judge-check r.yaml --set seed=1\n" in capsys.readouterr().out
    )
