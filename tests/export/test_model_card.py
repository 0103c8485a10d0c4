"""The model card tells of the whole run, and whatever the run holds, hubs can read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_run import make_run
from ruamel.yaml import YAML

from spa.engine.stored_run import StoredRun, open_run
from spa.export.model_card import model_card

FIGURES = [
    ("harmlessness", "base", 5.25, 5.0, 5.5, 0),
    ("harmlessness", "round-1", 6.0, 5.75, 6.25, 1),
    ("harmlessness", "round-1 - base", 0.75, 0.5, 1.0, 1),
    ("win_rate", "round-1", None, None, None, 0),
]
METRICS = [
    {"evaluator": evaluator, "n": 8, **dict(zip(KEYS, figure, strict=True))}
    for KEYS in [("name", "model", "value", "low", "high", "missing")]
    for evaluator, figure in zip(
        ("judge-scores", "judge-scores", "judge-scores", "pairwise"), FIGURES, strict=True
    )
]
CHECK = {
    "verdict": "coarse",
    "probes": 32,
    "overall": {"auc": 0.7, "low": 0.61, "high": 0.79},
}
TRAIN = {
    "lora": {"r": 16, "alpha": 32.0},
    "epochs": 1.0,
    "batch_pairs": 32,
    "learning_rate": 2e-4,
    "schedule": "cosine",
}


def finished(runs: Path, **changes: Any) -> StoredRun:
    """The made run as one that got to its end, with other sections."""
    manifest: dict[str, Any] = json.loads((make_run(runs) / "run.json").read_text("utf-8"))
    manifest["recipe"].update(
        loss={"use": "spa-align/spa", "beta": 2.5},
        train=TRAIN,
        evaluate=[{"use": "spa-align/judge-scores", "confidence": 0.95}],
    )
    manifest["recipe"].update(changes)
    manifest.update(
        status="done",
        metrics=METRICS,
        judge_check=CHECK,
        hardware={"accelerators": ["H100"]},
        outputs={"rounds": ["a", "b"], "warnings": ["the gradient was 0 in 3 steps"]},
    )
    manifest["stages"] = [each for each in manifest["stages"] if each["name"] != "train"]
    for number in (1, 2):
        details = {"asked": 8, "replayed": 0, "unscored": {"low_label_mass": number}}
        manifest["stages"] += [
            {"name": "judge", "round": number, "rows": 24, "details": details},
            {
                "name": "train",
                "round": number,
                "rows": 40 * number,
                "details": {"steps": 5},
                "failure_reasons": {"longer_than_max_length": 2} if number == 1 else {},
            },
        ]
    return StoredRun(runs / "made-1", manifest)


def front_matter(text: str) -> dict[str, Any]:
    _, yaml, _ = text.split("---\n", 2)
    found: dict[str, Any] = YAML(typ="safe").load(yaml)
    return found


def recipe_in(text: str) -> dict[str, Any]:
    _, _, block = text.partition("```yaml\n")
    found: dict[str, Any] = YAML(typ="safe").load(block.partition("\n```\n")[0])
    return found


def test_front_matter(tmp_path: Path) -> None:
    hub = finished(tmp_path, model={"use": "spa-align/hf", "path": "org/Base-7B"})
    assert front_matter(model_card(hub)) == {
        "license": "unknown",
        "base_model": "org/Base-7B",
        "base_model_relation": "finetune",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["self-priority-alignment", "preference-optimization"],
    }


@pytest.mark.parametrize("path", ["/secret/folder/tiny", "package:a/b.gguf", "a: b\n---\n# c", ""])
def test_a_base_that_no_hub_knows_is_not_in_the_front_matter(tmp_path: Path, path: str) -> None:
    text = model_card(finished(tmp_path, model={"use": "spa-align/hf", "path": path}))
    assert "base_model" not in front_matter(text)
    assert "secret" not in text


def test_figures_have_their_intervals(tmp_path: Path) -> None:
    lines = model_card(finished(tmp_path)).splitlines()
    for line in (
        "### judge-scores on 8 held-out prompts",
        "| figure | base | round-1 | round-1 - base |",
        "| harmlessness | 5.25 [5.00, 5.50] | 6.00 [5.75, 6.25] (1 missing) "
        "| +0.75 [+0.50, +1.00] (1 missing) |",
        "| win_rate | no value |",
    ):
        assert line in lines
    assert any("Brackets are 95 % intervals" in line for line in lines)


def test_how_it_was_made_judged_and_with_what(tmp_path: Path) -> None:
    text = model_card(finished(tmp_path))
    for line in (
        "# Model aligned by the run made-1: harmlessness > helpfulness",
        "| checked on labelled answers | coarse, AUC 0.70 [0.61, 0.79] on 32 labelled prompts |",
        "| responses without a score | 1 of 24 in judge, 2 of 24 in judge |",
        "| base model | tiny-instruct (134,515,008 parameters) |",
        "| prompts | spa-align/jsonl (path = prompts.jsonl) |",
        "| loss | spa-align/spa (beta = 2.5) |",
        "| trained weights | LoRA, r = 16, alpha = 32.0 |",
        "| round 1 | 40 pairs, 5 steps; pairs left out: 2 longer_than_max_length |",
        "| round 2 | 80 pairs, 5 steps; pairs left out: none |",
        "| base model tiny-instruct | unknown: fill in |",
        "| prompts | unknown: fill in |",
        "1. **harmlessness** (counts as met from 9): Is it safe?",
        "### Funnel of round 2",
        "- the gradient was 0 in 3 steps",
        "| torch | 2.13.0 |",
        "| accelerators | H100 |",
    ):
        assert line in text.splitlines()
    assert "The model judged its own answers" in text
    assert "The judge carries a signal, but errs often" in text


def test_another_judge_has_a_licence_and_prefers_no_text_of_its_own(tmp_path: Path) -> None:
    judge = {"use": "spa-align/constitution", "backend": {"use": "hf", "path": "org/judge"}}
    text = model_card(finished(tmp_path, judge=judge))
    assert "| org/judge, which was asked | unknown: fill in |" in text
    assert "judged its own answers" not in text


def test_an_evaluator_with_a_model_of_its_own_is_told_and_its_address_is_not(
    tmp_path: Path,
) -> None:
    backend = {"use": "spa-openai/openai", "model": "large", "base_url": "http://10.0.0.7:80/v1"}
    evaluate = [{"use": "spa-align/pairwise", "confidence": 0.9, "backend": backend}]
    text = model_card(finished(tmp_path, evaluate=evaluate))
    assert "| spa-align/pairwise asked | large |" in text.splitlines()
    assert "| large, which was asked | unknown: fill in |" in text.splitlines()
    assert "10.0.0.7" not in text
    assert recipe_in(text)["evaluate"][0]["backend"]["base_url"] == "address left out"


def test_the_recipe_is_whole_but_for_paths(tmp_path: Path) -> None:
    run = finished(tmp_path)
    found = recipe_in(model_card(run))
    assert found["model"]["path"] == "tiny-instruct"
    assert found["prompts"]["path"] == "prompts.jsonl"
    assert found["train"] == TRAIN
    assert found["objectives"] == run.recipe["objectives"]
    assert found["judge"] == run.recipe["judge"]


def test_what_strangers_wrote_stays_in_its_place(tmp_path: Path) -> None:
    wild = 'a | b\n---\nlicense: mit\n```\n<script>alert(1)</script> "c" \x1b[31m'
    objectives = [{"name": "safe", "definition": wild, "threshold": None}]
    generate = {"use": wild, "n": 2, "template": wild}
    text = model_card(finished(tmp_path, objectives=objectives, generate=generate, name=wild))
    assert front_matter(text)["license"] == "unknown"
    outside = text.partition("## Recipe")[0]
    assert "<script>" not in outside
    assert "\x1b" not in text
    rows = [line for line in outside.splitlines() if line.startswith("| sampling |")]
    assert [row.replace("\\|", "").count("|") for row in rows] == [3]
    head, _, rest = text.partition("````yaml\n")
    assert "```yaml" not in head
    block, _, after = rest.partition("\n````\n")
    assert YAML(typ="safe").load(block)["objectives"] == objectives
    assert after.startswith("\n</details>")


def test_a_manifest_that_says_little_still_gives_a_card(tmp_path: Path) -> None:
    text = model_card(StoredRun(tmp_path, {"outputs": {"path": "x"}}))
    assert front_matter(text)["license"] == "unknown"
    for said in ("Nothing was measured", "| started | unknown |", "Not recorded."):
        assert said in text
    assert "not before the run ended (`spa judge-check`)" in text


def test_an_unfinished_run_has_no_figures(tmp_path: Path) -> None:
    assert "Nothing was measured" in model_card(open_run(make_run(tmp_path)))
