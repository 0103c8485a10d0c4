"""The card tells hubs what to show, and people where the pairs come from and what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_run import PAIRS, RESPONSES, make_run
from ruamel.yaml import YAML

from spa import __version__
from spa.engine.stored_run import StoredRun, open_run
from spa.export.card import dataset_card
from spa.export.folder import PAIR_FORMATS, export_pairs
from spa.export.pairs import PairData, read_pairs


def card(run: StoredRun, out: Path, name: str = "trl", only: int | None = None) -> str:
    export_pairs(run, out, PAIR_FORMATS[name], only)
    return (out / "README.md").read_text(encoding="utf-8")


def front_matter(text: str) -> dict[str, Any]:
    _, yaml, _ = text.split("---\n", 2)
    found: dict[str, Any] = YAML(typ="safe").load(yaml)
    return found


@pytest.mark.parametrize(
    ("name", "file", "tags"),
    [
        ("trl", "train.parquet", ["trl"]),
        ("llamafactory", "spa-made-1.json", ["llama-factory"]),
        ("parquet", "pairs.parquet", []),
    ],
)
def test_front_matter(
    made: StoredRun, tmp_path: Path, name: str, file: str, tags: list[str]
) -> None:
    assert front_matter(card(made, tmp_path / "out", name)) == {
        "license": "unknown",
        "pretty_name": "Preference pairs of made-1",
        "task_categories": ["text-generation"],
        "tags": ["self-priority-alignment", "preference", "dpo", "synthetic", *tags],
        "size_categories": ["n<1K"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": file}]}],
    }
    assert (tmp_path / "out" / file).is_file()


def test_front_matter_of_an_odd_name(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path / "runs", name='a: "b" # c'))
    found = front_matter(card(run, tmp_path / "out"))
    assert found["pretty_name"] == 'Preference pairs of a: "b" # c'


@pytest.mark.parametrize(
    ("count", "size"),
    [(999, "n<1K"), (1_000, "1K<n<10K"), (99_999, "10K<n<100K"), (1_000_000, "1M<n<10M")],
)
def test_size_category(made: StoredRun, count: int, size: str) -> None:
    one = read_pairs(made).pairs[:1]
    text = dataset_card(PairData(made, (1,), one * count), PAIR_FORMATS["trl"])
    assert front_matter(text)["size_categories"] == [size]


def test_how_the_pairs_came_about(made: StoredRun, tmp_path: Path) -> None:
    text = card(made, tmp_path / "out")
    for line in (
        "# Preference pairs of the run made-1: harmlessness > helpfulness",
        "| recipe | made |",
        "| run | made-1 (failed) |",
        "| started | 2026-01-01 00:00 UTC |",
        "| model | tiny-instruct (134,515,008 parameters) |",
        "| prompts | spa-align/jsonl (path = prompts.jsonl) |",
        "| sampling | spa-align/diverse (n = 2, system_prompts = 1 given) |",
        "| denoising | spa-align/consistency, then spa-align/informativeness |",
        "| pairs | spa-align/lexicographic (margin = 1.0) |",
        "| rounds | 1, 2 |",
        "| seed | 7 |",
        "| pairs in this folder | 5 |",
        "| prompts with pairs | 3 |",
        "1. **harmlessness** (counts as met from 9): Is it safe?",
        "2. **helpfulness**: Does it help?",
        "### Funnel of round 1",
        "### Funnel of round 2",
        "| consistency | 3 | 2 refined_not_better |",
        "| paired (5 pairs) | 3 |  |",
        "| torch | 2.13.0 |",
        "| spa-align | 0.0.9 |",
        f"| spa-align (this export) | {__version__} |",
    ):
        assert line in text.splitlines()
    origin = text.partition("## How they were judged")[0]
    (judge,) = [line for line in origin.splitlines() if line.startswith("| judge |")]
    assert judge.endswith("…), asking the model itself |")
    assert "Rate \\| it." in judge


def test_every_column_is_described(made: StoredRun, tmp_path: Path) -> None:
    for name, form in PAIR_FORMATS.items():
        text = card(made, tmp_path / name, name)
        for column, meaning in form.columns(made.objectives).items():
            assert f"| {column} | {meaning} |" in text.splitlines()


def test_what_was_left_out_and_why(made: StoredRun, tmp_path: Path) -> None:
    text = card(made, tmp_path / "out", "llamafactory")
    said = text.split("## What was left out\n\n")[1].split("\n\n## ")[0]
    assert said == (
        "The pair builder made 6 pairs; 4 are here.\n\n"
        "| reason | pairs | what it means |\n"
        "| --- | --- | --- |\n"
        "| empty_response | 1 | a response has no text, or white space alone |\n"
        "| turns_do_not_alternate | 1 | LLaMA-Factory takes only turns of user and assistant that "
        "alternate |"
    )
    whole = card(made, tmp_path / "whole", "parquet")
    assert "The pair builder made 6 pairs; 6 are here.\n\nNothing.\n" in whole


def test_limits(made: StoredRun, tmp_path: Path) -> None:
    text = card(made, tmp_path / "out")
    limits = text.split("## Limits\n\n")[1].split("\n\n## ")[0]
    for said in (
        "- The model judged its own answers.",
        "check them and fill them in before you publish",
        "- In 1 of 5 pairs an answer was cut at the token limit.",
        "- In round 1, spa's own training left out 1 pairs (longer_than_max_length).",
    ):
        assert said in limits
    assert "| prompts | unknown: fill in |" in text.splitlines()


def test_what_model_cards_say_is_here_too(made: StoredRun, tmp_path: Path) -> None:
    text = card(made, tmp_path / "out")
    for line in (
        "| checked on labelled answers | not before the run ended (`spa judge-check`) |",
        "Nothing was measured: the run did not get so far, or no prompt was held out.",
        "<summary>The whole recipe</summary>",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("asked", "backend", "said"),
    [
        (0, None, "no model"),
        (8, {"use": "hf", "path": "other/judge-7b"}, "other/judge-7b"),
        (8, {"use": "hf", "path": "C:\\secret\\judge-7b"}, "judge-7b"),
        (8, {"use": "served/api", "model": "judge-large"}, "judge-large"),
    ],
)
def test_a_judge_that_is_not_the_model(
    made: StoredRun, tmp_path: Path, asked: int, backend: object, said: str
) -> None:
    file = made.folder / "run.json"
    manifest = json.loads(file.read_text())
    manifest["recipe"]["judge"]["backend"] = backend
    for stage in manifest["stages"]:
        if stage["name"] == "judge":
            stage["details"]["asked"] = asked
    file.write_text(json.dumps(manifest))
    text = card(open_run(made.folder), tmp_path / "out")
    assert f", asking {said} |" in text
    assert "judged its own answers" not in text


def changed(made: StoredRun, stages: dict[str, int], **sections: object) -> StoredRun:
    """The run with other sections, and stages of the first round that asked so often."""
    file = made.folder / "run.json"
    manifest = json.loads(file.read_text())
    manifest["recipe"].update(sections)
    kept = [stage for stage in manifest["stages"] if stage["name"] != "judge"]
    manifest["stages"] = [
        *kept,
        *(
            {"name": name, "round": 1, "details": {"asked": asked, "replayed": 0}}
            for name, asked in stages.items()
        ),
    ]
    file.write_text(json.dumps(manifest))
    return open_run(made.folder)


def test_of_a_judge_with_members_all_that_were_asked_are_told(
    made: StoredRun, tmp_path: Path
) -> None:
    members = [
        {
            "use": "spa-align/constitution",
            "backend": {"use": "spa-align/hf", "path": "/x/judge-7b"},
        },
        {"use": "spa-rubric/rubric", "backend": None},
        {"use": "spa-align/constitution", "backend": None},
    ]
    judge = {"use": "spa-align/ensemble", "members": members, "combine": "mean", "backend": None}
    asked = {"judge/1": 8, "judge/2": 0, "judge/3": 8, "judge": 0}
    text = card(changed(made, asked, judge=judge), tmp_path / "out")
    assert (
        "| judge | spa-align/ensemble (members = 3 given, combine = mean) of "
        "spa-align/constitution, spa-rubric/rubric, spa-align/constitution, asking judge-7b, "
        "the model itself |"
    ) in text
    assert "The model judged its own answers." in text


def test_other_models_that_wrote_answers_are_told(made: StoredRun, tmp_path: Path) -> None:
    backend = {"use": "spa-align/hf", "path": "/x/big-7b"}
    generate = {"use": "spa-align/diverse", "n": 2, "backend": backend}
    text = card(changed(made, {}, generate=generate), tmp_path / "out")
    assert "| sampling | spa-align/diverse (n = 2), asking big-7b |" in text


@pytest.mark.parametrize("name", sorted(PAIR_FORMATS))
def test_no_path_of_the_machine_is_told(made: StoredRun, tmp_path: Path, name: str) -> None:
    text = card(made, tmp_path / "out", name)
    assert "secret" not in text
    assert str(tmp_path) not in text


def test_one_round_tells_of_that_round_alone(made: StoredRun, tmp_path: Path) -> None:
    text = card(made, tmp_path / "out", only=2)
    assert "### Funnel of round 2" in text
    assert "### Funnel of round 1" not in text
    assert "In round 1" not in text
    assert "The pair builder made 1 pairs; 1 are here." in text


def test_a_sparse_manifest_still_gives_a_card(made: StoredRun, tmp_path: Path) -> None:
    manifest = json.loads((made.folder / "run.json").read_text())
    objectives = [{"name": "harmlessness"}, {"name": "helpfulness"}]
    sparse = {"stages": manifest["stages"], "recipe": {"objectives": objectives}}
    (made.folder / "run.json").write_text(json.dumps(sparse))
    text = card(open_run(made.folder), tmp_path / "out")
    assert "| started | unknown |" in text
    assert "### Funnel of round 1\n\nNot recorded." in text


def test_the_pairs_of_the_made_run_are_what_these_tests_say() -> None:
    assert [len(PAIRS[number]) for number in (1, 2)] == [5, 1]
    assert {row.finish_reason for row in RESPONSES[1]} == {"stop", "length"}
